
-- What follows is the same in every release of the tables above.

local vuicc = Proto("vuicc", "SIM, USIM and eUICC (vuicc)")

-- Fields ------------------------------------------------------------------------------------------------------------------

-- Numbers that the specifications write in hexadecimal.
local HEXADECIMAL = {
    class = ProtoField.uint8, instruction = ProtoField.uint8, p1 = ProtoField.uint8, p2 = ProtoField.uint8,
    status_word = ProtoField.uint16, ["pin.reference"] = ProtoField.uint8,
}

local MAKE = {
    group = function(abbreviation, label) return ProtoField.none(abbreviation, label) end,
    number = function(abbreviation, label, name)
        if HEXADECIMAL[name] then return HEXADECIMAL[name](abbreviation, label, base.HEX) end
        return ProtoField.uint64(abbreviation, label, base.DEC)
    end,
    flag = function(abbreviation, label) return ProtoField.bool(abbreviation, label) end,
    text = function(abbreviation, label) return ProtoField.string(abbreviation, label) end,
    octets = function(abbreviation, label) return ProtoField.bytes(abbreviation, label) end,
}

local F, KIND, LABEL = {}, {}, {}
for _, row in ipairs(NAMES) do
    F[row[1]] = MAKE[row[3]]("vuicc." .. row[1], row[2], row[1])
    KIND[row[1]], LABEL[row[1]] = row[3], row[2]
end

-- What is of the recording, not of the card.
local X = {
    sub_type = ProtoField.uint8("vuicc.gsmtap.sub_type", "GSMTAP sub type", base.DEC, {
        [0] = "APDU", [1] = "ATR", [2] = "PPS request", [3] = "PPS response", [4] = "TPDU header",
        [5] = "TPDU command data", [6] = "TPDU response data", [7] = "TPDU status word",
    }),
    card = ProtoField.uint8("vuicc.gsmtap.card", "card"),
    warm = ProtoField.bool("vuicc.reset.warm", "warm reset"),
    command = ProtoField.bytes("vuicc.command", "command"),
    response = ProtoField.bytes("vuicc.response", "response"),
    part = ProtoField.bytes("vuicc.tpdu.part", "part of a TPDU"),
    pps = ProtoField.bytes("vuicc.pps", "PPS"),
    pps_protocol = ProtoField.uint8("vuicc.pps.protocol", "protocol T"),
    pps1 = ProtoField.uint8("vuicc.pps.pps1", "PPS1: Fi and Di", base.HEX),
    meaning = ProtoField.string("vuicc.meaning", "meaning"),
    secret = ProtoField.string("vuicc.secret", "secret"),
}
local fields = {}
for _, field in pairs(F) do fields[#fields + 1] = field end
for _, field in pairs(X) do fields[#fields + 1] = field end
vuicc.fields = fields

local bad = ProtoExpert.new("vuicc.not_decoded", "not decoded", expert.group.UNDECODED, expert.severity.WARN)
vuicc.experts = { bad }

-- Numbers, without a library that not every Lua has -----------------------------------------------------------------------

local function bits(number, from, count)
    return math.floor(number / 2 ^ from) % 2 ^ count
end

local function byte(octets, at)
    return string.byte(octets, at) or 0
end

local function hex(octets)
    return (octets:gsub(".", function(octet) return string.format("%02X", string.byte(octet)) end))
end

local function octets_of(range)
    return range:bytes():raw()
end

-- A range of the octets, which may be empty.
local function slice(tvb, from, length)
    if length == 0 then return nil end
    return tvb(from, length)
end

-- A tree's node for a field. `value` stands for what the octets say where they do not say it themselves.
local function add(tree, name, range, value, meaning)
    local field, kind = F[name], KIND[name]
    local item
    if kind == "group" then
        item = range and tree:add(field, range) or tree:add(field)
    elseif kind == "octets" then
        if not range then return tree end
        item = tree:add(field, range)
    elseif kind == "number" then
        local number = value
        if not HEXADECIMAL[name] then number = UInt64.new(value % 4294967296, math.floor(value / 4294967296)) end
        item = range and tree:add(field, range, number) or tree:add(field, number)
    elseif kind == "flag" then
        item = range and tree:add(field, range, value) or tree:add(field, value)
    else
        item = range and tree:add(field, range, value) or tree:add(field, value)
    end
    if meaning and meaning ~= "" then item:append_text("  " .. meaning) end
    return item
end

-- What is kept secret: its octets are in the packet, but no field points at them.
local function add_secret(tree, name)
    return tree:add(X.secret, (LABEL[name] or name) .. ", left out")
end

local function not_decoded(tree, range, why)
    local item = range and add(tree, "malformed", range) or tree
    item:append_text("  " .. why)
    item:add_proto_expert_info(bad, why)
end
