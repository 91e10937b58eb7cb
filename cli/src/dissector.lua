
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

local function not_decoded(tree, range, why)
    local item = range and add(tree, "malformed", range) or tree
    item:append_text("  " .. why)
    item:add_proto_expert_info(bad, why)
end

-- BER-TLV -----------------------------------------------------------------------------------------------------------------

-- Tag, length of header, length of value; nil if there is none.
local function header(octets, at)
    local first = string.byte(octets, at)
    if not first then return nil end
    local tag, next_at = first, at + 1
    if first % 32 == 31 then
        repeat
            local more = string.byte(octets, next_at)
            if not more or next_at - at > 3 then return nil end
            tag, next_at = tag * 256 + more, next_at + 1
        until more < 128
    end
    local length = string.byte(octets, next_at)
    if not length then return nil end
    next_at = next_at + 1
    if length > 128 then
        local count = length - 128
        if count > 4 then return nil end
        length = 0
        for _ = 1, count do
            local more = string.byte(octets, next_at)
            if not more then return nil end
            length, next_at = length * 256 + more, next_at + 1
        end
    elseif length == 128 then
        return nil
    end
    return tag, next_at - at, length
end

local function aid_name(octets)
    local digits, best, name = hex(octets), 0, nil
    for _, row in ipairs(AIDS) do
        if #row[1] > best and digits:sub(1, #row[1]) == row[1] then best, name = #row[1], row[2] end
    end
    return name
end

local function is_isd_r(aid)
    return aid == nil or aid_name(aid) == "ISD-R"
end

local function number_of(octets)
    local number = 0
    for at = 1, #octets do number = number * 256 + byte(octets, at) end
    return number
end

local function swapped(octets)
    local digits = hex(octets):gsub("(.)(.)", "%2%1")
    return (digits:gsub("F+$", ""))
end

local function bit_names(names, octets)
    local unused, set = byte(octets, 1), {}
    local count = (#octets - 1) * 8 - unused
    for bit = 0, count - 1 do
        local octet = byte(octets, 2 + math.floor(bit / 8))
        if bits(octet, 7 - bit % 8, 1) == 1 then set[#set + 1] = names[bit] or ("bit " .. bit) end
    end
    return #set == 0 and "none" or table.concat(set, ", ")
end

local function oid(octets)
    local parts, arc, first = {}, 0, true
    for at = 1, #octets do
        local octet = byte(octets, at)
        arc = arc * 128 + octet % 128
        if octet < 128 then
            if first then
                local top = math.min(2, math.floor(arc / 40))
                parts = { string.format("%d.%d", top, arc - 40 * top) }
                first = false
            else
                parts[#parts + 1] = string.format("%d", arc)
            end
            arc = 0
        end
    end
    return table.concat(parts, ".")
end

local function tags(octets)
    local list, at = {}, 1
    while at <= #octets do
        local from = at
        if byte(octets, at) % 32 == 31 then
            repeat at = at + 1 until at > #octets or byte(octets, at) < 128
        end
        list[#list + 1] = hex(octets:sub(from, at))
        at = at + 1
    end
    return table.concat(list, " ")
end

local function plmn(octets)
    local d = hex(octets)
    local mcc, mnc = d:sub(2, 2) .. d:sub(1, 1) .. d:sub(4, 4), d:sub(6, 6) .. d:sub(5, 5)
    if d:sub(3, 3) ~= "F" then mnc = mnc .. d:sub(3, 3) end
    return mcc .. "-" .. mnc
end

local walk

local READ = {
    octets = function(tree, name, range) return add(tree, name, range) end,
    text = function(tree, name, range, octets) return add(tree, name, range, octets) end,
    number = function(tree, name, range, octets) return add(tree, name, range, number_of(octets)) end,
    codes = function(tree, name, range, octets, names)
        local number = number_of(octets)
        return add(tree, name, range, number, CODES[names][number] or "a code without a name")
    end,
    bits = function(tree, name, range, octets, names) return add(tree, name, range, bit_names(BITS[names], octets)) end,
    digits = function(tree, name, range, octets) return add(tree, name, range, swapped(octets)) end,
    digits_in_order = function(tree, name, range, octets)
        return add(tree, name, range, (hex(octets):gsub("F+$", "")))
    end,
    aid = function(tree, name, range, octets) return add(tree, name, range, nil, aid_name(octets)) end,
    oid = function(tree, name, range, octets) return add(tree, name, range, oid(octets)) end,
    version = function(tree, name, range, octets)
        local parts = {}
        for at = 1, #octets do parts[at] = byte(octets, at) end
        return add(tree, name, range, table.concat(parts, "."))
    end,
    flag = function(tree, name, range, octets) return add(tree, name, range, byte(octets, 1) ~= 0) end,
    null = function(tree, name, range) return add(tree, name, range) end,
    tags = function(tree, name, range, octets) return add(tree, name, range, nil, tags(octets)) end,
    plmn = function(tree, name, range, octets) return add(tree, name, range, plmn(octets)) end,
    group = function(tree, name, range) return add(tree, name, range) end,
    own = function(tree, name, range, octets)
        if name == "fcp.sfi" then
            if #octets == 0 then return tree end
            return add(tree, name, range, bits(byte(octets, 1), 3, 5))
        end
        local kind = KIND[name]
        if kind == "number" then return add(tree, name, range, byte(octets, 1)) end
        if kind == "text" then return add(tree, name, range, (octets:gsub("\255+$", ""))) end
        return add(tree, name, range)
    end,
    secret = function(tree, name, range)
        return tree:add(X.secret, range, LABEL[name] .. ", left out")
    end,
}

-- Every TLV of `tvb` from `from` on, `length` octets. Fields stand in the order of `nodes`, so that of two with the same tag
-- the first is meant first.
function walk(tree, nodes, tvb, from, length, depth)
    if length == 0 then return end
    local octets = octets_of(tvb(from, length))
    local at, expected = 1, 1
    while at <= #octets do
        local tag, head, size = header(octets, at)
        if not tag or at + head + size - 1 > #octets then
            return not_decoded(tree, tvb(from + at - 1, #octets - at + 1), "no BER-TLV")
        end
        local found
        for index = expected, #nodes do
            if nodes[index][1] == tag then found = index break end
        end
        for index = 1, found and 0 or #nodes do
            if nodes[index][1] == tag then found = index break end
        end
        local whole = tvb(from + at - 1, head + size)
        local value_at = from + at - 1 + head
        local value = octets:sub(at + head, at + head + size - 1)
        if found then
            local node = nodes[found]
            local again = false
            for index = found + 1, #nodes do again = again or nodes[index][1] == tag end
            expected = found + (again and 1 or 0)
            if node[3] == "inside" then
                local item = add(tree, node[2], whole)
                if depth > 0 then walk(item, NODES[node[4]], tvb, value_at, size, depth - 1) end
            else
                -- An empty value has no octets of its own to point at.
                local range = size > 0 and tvb(value_at, size) or nil
                if range or node[3] == "null" or node[3] == "text" then
                    READ[node[3]](tree, node[2], range or whole, value, node[4])
                end
            end
        else
            local item = size > 0 and add(tree, "unknown", tvb(value_at, size)) or tree
            if size > 0 then item:append_text("  tag " .. hex(octets:sub(at, at + head - 1))) end
        end
        at = at + head + size
    end
end

-- No TLVs are known in there.
NODES[#NODES + 1] = {}
local NOTHING = #NODES

-- State -------------------------------------------------------------------------------------------------------------------

-- By card and channel; and what was found out of each packet when it was seen first.
local channels, parts, known = {}, {}, {}

function vuicc.init()
    channels, parts, known = {}, {}, {}
end

local function channel(card, number)
    local key = card .. ":" .. number
    channels[key] = channels[key] or {}
    return channels[key]
end

local function reset(card)
    for key in pairs(channels) do
        if key:sub(1, #card + 1) == card .. ":" then channels[key] = nil end
    end
    parts[card] = nil
end

-- Words -------------------------------------------------------------------------------------------------------------------

local function is_proprietary(class)
    return class >= 0x80 and class ~= 0xA0
end

local function instruction(class, ins)
    return is_proprietary(class) and PROPRIETARY[ins] or INSTRUCTIONS[ins] or string.format("INS %02X", ins)
end

local function channel_of(class)
    if class == 0xFF then return 0 end
    if bits(class, 6, 1) == 1 then return 4 + class % 16 end
    return class % 4
end

local function status_words(ins, sw)
    local sw1, sw2 = math.floor(sw / 256), sw % 256
    local count = sw2 == 0 and 256 or sw2
    local there = STATUS_OF[ins] and STATUS_OF[ins][sw]
    if there then return there end
    if sw1 == 0x61 or sw1 == 0x9F then return count .. " octets are available, for GET RESPONSE" end
    if sw1 == 0x6C then return "Le has to be " .. count end
    if sw1 == 0x91 then return "done, and a proactive command of " .. sw2 .. " octets waits for FETCH" end
    if sw1 == 0x63 and sw2 >= 0xC0 and sw2 <= 0xCF then return "not verified, " .. sw2 % 16 .. " tries left" end
    for _, row in ipairs(STATUS) do
        if sw >= row[1] and sw <= row[2] then return row[3] end
    end
    return "without a name"
end

local etsi_cat = Dissector.get("etsi_cat")

local function toolkit(tree, pinfo, tvb, from, length)
    if length > 0 and etsi_cat then
        etsi_cat:call(tvb(from, length):tvb(), pinfo, tree)
    end
end

-- Values one after another, each behind its length.
local function length_values(tree, names, tvb, from, length)
    local at, stop = from, from + length
    for _, name in ipairs(names) do
        if at >= stop then return end
        local size = tvb(at, 1):uint()
        if at + 1 + size > stop then return not_decoded(tree, tvb(at, stop - at), "a length exceeds the data") end
        if size > 0 then add(tree, name, tvb(at + 1, size), tvb(at + 1, size):string()) end
        at = at + 1 + size
    end
end

-- Responses ---------------------------------------------------------------------------------------------------------------

local ANSWER = {
    template = function(tree, _, tvb, from, length)
        local first = tvb(from, 1):uint()
        if first == 0x62 or first == 0x6F then return walk(tree, NODES[TEMPLATES], tvb, from, length, 24) end
        add(tree, "data", tvb(from, length))
    end,
    proactive = function(tree, pinfo, tvb, from, length) toolkit(tree, pinfo, tvb, from, length) end,
    channel = function(tree, _, tvb, from, length)
        if length == 1 then return add(tree, "manage_channel.channel", tvb(from, 1), tvb(from, 1):uint()) end
        add(tree, "data", tvb(from, length))
    end,
    gsm = function(tree, _, tvb, from, length)
        length_values(tree, { "authenticate.sres", "authenticate.kc" }, tvb, from, length)
    end,
    gsm_algorithm = function(tree, _, tvb, from, length)
        if length < 4 then return not_decoded(tree, tvb(from, length), "shorter than SRES") end
        add(tree, "authenticate.sres", tvb(from, 4))
        if length > 4 then add(tree, "authenticate.kc", tvb(from + 4, length - 4)) end
    end,
    three_g = function(tree, _, tvb, from, length)
        local first = tvb(from, 1):uint()
        if first == 0xDB then
            local names = { "authenticate.res", "authenticate.ck", "authenticate.ik", "authenticate.kc" }
            return length_values(tree, names, tvb, from + 1, length - 1)
        end
        if first == 0xDC then return length_values(tree, { "authenticate.auts" }, tvb, from + 1, length - 1) end
        add(tree, "data", tvb(from, length))
    end,
    naf = function(tree, _, tvb, from, length)
        if tvb(from, 1):uint() == 0xDB then
            return length_values(tree, { "authenticate.ks_ext_naf" }, tvb, from + 1, length - 1)
        end
        add(tree, "data", tvb(from, length))
    end,
    challenge = function(tree, _, tvb, from, length) add(tree, "challenge", tvb(from, length)) end,
    object = function(tree, _, tvb, from, length) walk(tree, NODES[DATA_OBJECTS], tvb, from, length, 24) end,
    registry = function(tree, _, tvb, from, length) walk(tree, NODES[REGISTRY], tvb, from, length, 24) end,
    data = function(tree, _, tvb, from, length) add(tree, "data", tvb(from, length)) end,
}

local function es10_answer(tree, tag_asked, tvb, from, length)
    -- The answer to a bound profile package is that of its last part; the others have none.
    local octets = octets_of(tvb(from, length))
    local tag, head, size = header(octets, 1)
    if not tag or head + size > #octets then return not_decoded(tree, tvb(from, length), "no BER-TLV") end
    local message = MESSAGES[tag]
    if message and (tag == 0xBF37 or tag == tag_asked) then
        local group = add(tree, "es10.response", tvb(from, length))
        return walk(group, NODES[message.response], tvb, from + head, size, 24)
    end
    walk(tree, {}, tvb, from, length, 24)
end

local function answer(tree, pinfo, kind, tvb, from, length)
    if length == 0 then return end
    if type(kind) == "number" then return es10_answer(tree, kind, tvb, from, length) end
    (ANSWER[kind] or ANSWER.data)(tree, pinfo, tvb, from, length)
end

-- Commands ----------------------------------------------------------------------------------------------------------------

-- Each gets the command (class, ins, p1, p2, data with tvb, from, length) and tells what it is called and how it is
-- answered; `seen` is what the first pass found out of this packet.

local COMMAND = {}

local SELECT_BY = {
    [0] = "by file identifier", [1] = "child DF", [3] = "parent DF", [4] = "by AID", [8] = "by path from the MF",
    [9] = "by path from the current DF",
}

COMMAND[0xA4] = function(tree, _, c)
    add(tree, "select.by", c.tvb(c.at + 2, 1), SELECT_BY[c.p1] or "reserved")
    local wanted = ({ [0x04] = "FCP", [0x0C] = "no data" })[c.p2 % 32] or "reserved"
    if c.p2 % 32 == 0 then wanted = c.p1 == 4 and "FCI" or "FCI or FCP" end
    add(tree, "select.return", c.tvb(c.at + 3, 1), wanted)
    if c.length == 0 then return c.p1 == 3 and "SELECT parent DF" or "SELECT MF", "template" end
    local octets = octets_of(c.tvb(c.from, c.length))
    if c.p1 == 4 then
        local name = aid_name(octets)
        add(tree, "select.aid", c.tvb(c.from, c.length), nil, name)
        return "SELECT " .. (name or hex(octets)), "template"
    end
    local last = FILES[number_of(octets:sub(-2))] or hex(octets:sub(-2))
    add(tree, "file_id", c.tvb(c.from, c.length), nil, last)
    return "SELECT " .. last, "template"
end

COMMAND[0xF2] = function(tree, _, c)
    if is_proprietary(c.class) and c.p1 >= 0x10 then
        local scopes = {
            [0x80] = "issuer security domain", [0x40] = "applications and security domains",
            [0x20] = "executable load files", [0x10] = "executable load files and modules",
        }
        add(tree, "gp.scope", c.tvb(c.at + 2, 1), scopes[c.p1] or "reserved")
        walk(tree, NODES[SEARCH], c.tvb, c.from, c.plain, 24)
        return "GET STATUS", "registry"
    end
    local purposes = {
        [0] = "no indication", [1] = "the application is initialised in the terminal",
        [2] = "the terminal will terminate the application",
    }
    local wanted = { [0] = "FCP", [1] = "DF name", [0x0C] = "no data" }
    add(tree, "status.purpose", c.tvb(c.at + 2, 1), purposes[c.p1] or "reserved")
    add(tree, "select.return", c.tvb(c.at + 3, 1), wanted[c.p2] or "reserved")
    return "STATUS", "template"
end

COMMAND[0x70] = function(tree, _, c)
    if c.p1 == 0 then
        add(tree, "manage_channel.operation", c.tvb(c.at + 2, 1), "open")
        if c.p2 == 0 then return "MANAGE CHANNEL, open", "channel" end
        add(tree, "manage_channel.channel", c.tvb(c.at + 3, 1), c.p2)
        return "MANAGE CHANNEL, open " .. c.p2, "data"
    elseif c.p1 == 0x80 then
        add(tree, "manage_channel.operation", c.tvb(c.at + 2, 1), "close")
        add(tree, "manage_channel.channel", c.tvb(c.at + 3, 1), c.p2)
        return "MANAGE CHANNEL, close " .. c.p2, "data"
    end
    add(tree, "manage_channel.operation", c.tvb(c.at + 2, 1), "reserved")
    return "MANAGE CHANNEL", "data"
end

local CONTEXTS = {
    [0] = { "GSM", "gsm" }, { "3G", "three_g" }, { "VGCS or VBS", "three_g" }, { "reserved", "three_g" },
    { "GBA, bootstrapping", "three_g" }, { "MBMS", "three_g" }, { "local key establishment", "naf" },
    { "reserved", "three_g" },
}

COMMAND[0x88] = function(tree, _, c)
    if c.class == 0xA0 then
        if c.length > 0 then add(tree, "authenticate.rand", c.tvb(c.from, c.length)) end
        return "RUN GSM ALGORITHM", "gsm_algorithm"
    end
    local context, security = CONTEXTS[c.p2 % 8][1], CONTEXTS[c.p2 % 8][2]
    local from, length = c.from, c.length
    local first = length > 0 and c.tvb(from, 1):uint()
    if c.p2 % 8 == 4 and (first == 0xDD or first == 0xDE) then
        from, length = from + 1, length - 1
        if first == 0xDE then context, security = "GBA, NAF derivation", "naf" end
    end
    add(tree, "authenticate.context", c.tvb(c.at + 3, 1), context)
    local names = { "authenticate.rand", "authenticate.autn" }
    if security == "naf" then names = { "authenticate.naf_id", "authenticate.impi" } end
    if security == "gsm" then names = { "authenticate.rand" } end
    length_values(tree, names, c.tvb, from, length)
    return "AUTHENTICATE, " .. context, security
end

COMMAND[0x84] = function() return "GET CHALLENGE", "challenge" end

local function pin(tree, _, c)
    add(tree, "pin.reference", c.tvb(c.at + 3, 1), c.p2)
    if c.length == 0 then return instruction(c.class, c.ins) .. ": tries left?", "data" end
    tree:add(X.secret, c.tvb(c.from, c.length), "PIN, left out")
    return instruction(c.class, c.ins), "data"
end
for _, ins in ipairs({ 0x20, 0x24, 0x26, 0x28, 0x2C }) do COMMAND[ins] = pin end

COMMAND[0xAA] = function(tree, _, c)
    walk(tree, NODES[TERMINAL_CAPABILITY], c.tvb, c.from, c.length, 24)
    return "TERMINAL CAPABILITY", "data"
end

COMMAND[0x10] = function(tree, _, c)
    if c.length > 0 then add(tree, "terminal_profile.octets", c.tvb(c.from, c.length)) end
    return "TERMINAL PROFILE", "data"
end
COMMAND[0x12] = function() return "FETCH", "proactive" end
COMMAND[0x14] = function(tree, pinfo, c)
    toolkit(tree, pinfo, c.tvb, c.from, c.length)
    return "TERMINAL RESPONSE", "data"
end
COMMAND[0xC2] = function(tree, pinfo, c)
    toolkit(tree, pinfo, c.tvb, c.from, c.length)
    return "ENVELOPE", "data"
end

COMMAND[0xCA] = function(tree, _, c)
    add(tree, "gp.tag", c.p1 == 0 and c.tvb(c.at + 3, 1) or c.tvb(c.at + 2, 2))
    return string.format("GET DATA %02X%02X", c.p1, c.p2), "object"
end

COMMAND[0x50] = function(tree, _, c)
    add(tree, "gp.key_version_number", c.tvb(c.at + 2, 1), c.p1)
    add(tree, "gp.key_id", c.tvb(c.at + 3, 1), c.p2)
    if c.length > 0 then add(tree, "gp.host_challenge", c.tvb(c.from, c.length)) end
    return "INITIALIZE UPDATE", "data"
end

COMMAND[0x82] = function(tree, _, c)
    local levels, set = { { 1, "C-MAC" }, { 2, "C-DECRYPTION" }, { 16, "R-MAC" }, { 32, "R-ENCRYPTION" } }, {}
    for _, level in ipairs(levels) do
        if math.floor(c.p1 / level[1]) % 2 == 1 then set[#set + 1] = level[2] end
    end
    local words = #set == 0 and "none" or table.concat(set, ", ")
    add(tree, "gp.security_level", c.tvb(c.at + 2, 1), c.p1, words)
    if c.plain > 0 then add(tree, "gp.host_cryptogram", c.tvb(c.from, c.plain)) end
    return "EXTERNAL AUTHENTICATE", "data"
end

-- GlobalPlatform's under a proprietary class.
local GLOBALPLATFORM = {}

GLOBALPLATFORM[0xE4] = function(tree, _, c)
    walk(tree, NODES[DELETE], c.tvb, c.from, c.plain, 24)
    return "DELETE", "data"
end

local function purposes(p1)
    local all = {
        { 2, "load" }, { 4, "install" }, { 8, "make selectable" }, { 16, "extradition" }, { 32, "personalization" },
        { 64, "registry update" }, { 128, "more INSTALL commands" },
    }
    local set = {}
    for _, purpose in ipairs(all) do
        if math.floor(p1 / purpose[1]) % 2 == 1 then set[#set + 1] = purpose[2] end
    end
    return table.concat(set, " and ")
end

GLOBALPLATFORM[0xE6] = function(tree, _, c)
    local purpose = purposes(c.p1)
    add(tree, "gp.install_for", c.tvb(c.at + 2, 1), purpose)
    local names = {
        "gp.load_file_aid", "gp.module_aid", "gp.aid", "gp.privileges", "gp.install_parameters", "gp.token",
    }
    if bits(c.p1, 1, 1) == 1 then
        names = { "gp.load_file_aid", "gp.security_domain_aid", "gp.load_file_hash", "gp.install_parameters", "gp.token" }
    elseif bits(c.p1, 4, 1) == 1 then
        names = { "gp.security_domain_aid", "data", "gp.aid", "data", "gp.install_parameters", "gp.token" }
    end
    length_values(tree, names, c.tvb, c.from, c.plain)
    return "INSTALL for " .. purpose, "data"
end

GLOBALPLATFORM[0xE8] = function(tree, _, c)
    add(tree, "gp.block", c.tvb(c.at + 3, 1), c.p2)
    if c.plain > 0 then add(tree, "data", c.tvb(c.from, c.plain)) end
    return "LOAD, block " .. c.p2, "data"
end

GLOBALPLATFORM[0xD8] = function(tree, _, c)
    add(tree, "gp.key_id", c.tvb(c.at + 3, 1), c.p2 % 128)
    add(tree, "gp.key_version_number", c.tvb(c.at + 2, 1), c.p1 % 128, "replaced")
    if c.plain > 0 then
        add(tree, "gp.key_version_number", c.tvb(c.from, 1), c.tvb(c.from, 1):uint(), "new")
        if c.plain > 1 then tree:add(X.secret, c.tvb(c.from + 1, c.plain - 1), "keys") end
    end
    return "PUT KEY", "data"
end

GLOBALPLATFORM[0xF0] = function(tree, _, c)
    add(tree, "gp.state", c.tvb(c.at + 3, 1), c.p2)
    if c.plain > 0 then add(tree, "gp.aid", c.tvb(c.from, c.plain)) end
    return "SET STATUS", "data"
end

-- A part of a bound profile package: headers of what follows, in this part or later ones; the key agreement; segments, of
-- which those with tag 88 are in the clear before their MAC. SGP.22 §2.5.5
local function package(tree, tvb, from, length)
    local octets, at = octets_of(tvb(from, length)), 1
    while at <= #octets do
        local tag, head, size = header(octets, at)
        if not tag then return end
        local value_at = from + at - 1 + head
        local is_here = at + head + size - 1 <= #octets
        if tag == 0xBF36 or (tag >= 0xA0 and tag <= 0xA3) then
            size = 0
        elseif tag == 0xBF23 and is_here then
            walk(tree, NODES[INITIALISE_SECURE_CHANNEL], tvb, value_at, size, 24)
        elseif tag == 0x88 and is_here and size > 8 then
            walk(tree, NODES[COMMANDS], tvb, value_at, size - 8, 24)
        end
        at = at + head + size
    end
end

-- A whole request of STORE DATA, in `tvb`.
local function request(tree, seen, tvb, from, length)
    if length == 0 then return "STORE DATA", "data" end
    local octets = octets_of(tvb(from, length))
    local tag, head, size = header(octets, 1)
    if seen.isd_r and seen.package then
        add(tree, "es10.function", nil, "LoadBoundProfilePackage")
        local group = add(tree, "es10.request", tvb(from, length), nil, "a part of the bound profile package")
        package(group, tvb, from, length)
        return "LoadBoundProfilePackage", 0xBF37
    end
    local message = tag and MESSAGES[tag]
    if not message and tag and math.floor(tag / 256) == 0xBF then
        message = { name = "unknown function", request = NOTHING, response = NOTHING }
    end
    if seen.isd_r and message and head + size <= #octets then
        add(tree, "es10.function", tvb(from, head), message.name)
        local group = add(tree, "es10.request", tvb(from, length))
        walk(group, NODES[message.request], tvb, from + head, size, 24)
        return message.name, tag
    end
    walk(tree, NODES[DATA_OBJECTS], tvb, from, length, 24)
    return "STORE DATA", "data"
end

COMMAND[0xE2] = function(tree, _, c, seen)
    add(tree, "store_data.block", c.tvb(c.at + 3, 1), c.p2)
    add(tree, "store_data.last", c.tvb(c.at + 2, 1), c.p1 >= 0x80)
    if c.p1 < 0x80 then
        if c.plain > 0 then add(tree, "data", c.tvb(c.from, c.plain)) end
        add(tree, "store_data.octets", nil, seen.so_far)
        local name = seen.package and "LoadBoundProfilePackage" or seen.chain_name
        return "STORE DATA, block " .. c.p2 .. (name and (" of " .. name) or ""), "data"
    end
    if seen.request then
        local tvb = ByteArray.new(seen.request, true):tvb("Request of several STORE DATA")
        return request(tree, seen, tvb, 0, tvb:len())
    end
    return request(tree, seen, c.tvb, c.from, c.plain)
end

-- What the commands and responses did, found out once, in order -------------------------------------------------------------

local PACKAGE = { [0xBF36] = true, [0xBF23] = true, [0x86] = true, [0x87] = true, [0x88] = true,
    [0xA0] = true, [0xA1] = true, [0xA2] = true, [0xA3] = true }

local function learn_store_data(state, seen, c, data)
    seen.isd_r = is_isd_r(state.aid)
    if c.p2 == 0 then state.chain = "" end
    local alone = (state.chain or "") == "" and c.p1 >= 0x80
    state.chain = (state.chain or "") .. data
    seen.so_far = #state.chain
    local tag = header(state.chain, 1)
    if tag == 0xBF36 then state.package = true
    elseif tag and not PACKAGE[tag] then state.package = false end
    seen.package = state.package and PACKAGE[tag or 0] or false
    seen.chain_name = seen.isd_r and tag and MESSAGES[tag] and MESSAGES[tag].name or nil
    if c.p1 >= 0x80 then
        if not alone then seen.request = state.chain end
        state.chain = ""
    end
end

local function learn(card, c, data, response, kind, seen)
    local number = channel_of(c.class)
    local state = channel(card, number)
    local sw = number_of(response:sub(-2))
    local sw1, received = math.floor(sw / 256), response:sub(1, -3)
    if c.ins == 0xC0 then
        seen.kind = state.pending and state.pending.kind or "data"
        seen.continues = state.pending and state.pending.summary
        local sofar = (state.pending and state.pending.data or "") .. received
        if sw1 == 0x61 or sw1 == 0x6C then
            seen.partial = true
            if state.pending then state.pending.data = sofar end
        else
            if #sofar ~= #received then seen.answer = sofar end
            state.pending = nil
        end
        return
    end
    seen.kind = kind
    if sw1 == 0x61 or sw1 == 0x9F then
        state.pending = { kind = kind, summary = seen.summary, data = received }
        seen.partial = true
    else
        state.pending = nil
    end
    local done = sw == 0x9000 or sw1 == 0x61 or sw1 == 0x62 or sw1 == 0x91 or sw1 == 0x9F
    if not done then return end
    if c.ins == 0xA4 and c.p1 == 4 then
        state.aid, state.chain, state.package = data, "", false
    elseif c.ins == 0x70 and c.p1 == 0 then
        local opened = c.p2 ~= 0 and c.p2 or byte(received, 1)
        channels[card .. ":" .. opened] = {}
    elseif c.ins == 0x70 and c.p1 == 0x80 then
        channels[card .. ":" .. c.p2] = nil
    end
end

-- An exchange ---------------------------------------------------------------------------------------------------------------

-- Where the data of a command stand, and Lc and Le. ISO/IEC 7816-3 §12.1
local function parse(tvb, at, length)
    local c = { tvb = tvb, at = at, class = tvb(at, 1):uint(), ins = tvb(at + 1, 1):uint(), p1 = tvb(at + 2, 1):uint(),
        p2 = tvb(at + 3, 1):uint(), from = at + 5, length = 0, le = nil, lc_at = at + 4 }
    local body = length - 4
    if body <= 0 then c.from = at + 4 return c end
    local p3 = tvb(at + 4, 1):uint()
    if body == 1 then
        c.le, c.le_range = p3 == 0 and 256 or p3, tvb(at + 4, 1)
    elseif p3 ~= 0 then
        c.length, c.lc_range = math.min(p3, body - 1), tvb(at + 4, 1)
        if body == p3 + 2 then
            local le = tvb(at + length - 1, 1)
            c.le, c.le_range = le:uint() == 0 and 256 or le:uint(), le
        end
    elseif body == 3 then
        local le = tvb(at + 5, 2)
        c.le, c.le_range = le:uint() == 0 and 65536 or le:uint(), tvb(at + 4, 3)
    elseif body > 3 then
        c.length, c.from, c.lc_range = math.min(tvb(at + 5, 2):uint(), body - 3), at + 7, tvb(at + 4, 3)
        if body == c.length + 5 then
            local le = tvb(at + length - 2, 2)
            c.le, c.le_range = le:uint() == 0 and 65536 or le:uint(), le
        end
    end
    c.plain = c.length
    return c
end

local function head(tree, c)
    local item = add(tree, "class", c.tvb(c.at, 1), c.class)
    add(item, "channel", nil, channel_of(c.class))
    add(tree, "instruction", c.tvb(c.at + 1, 1), c.ins, instruction(c.class, c.ins))
    add(tree, "p1", c.tvb(c.at + 2, 1), c.p1)
    add(tree, "p2", c.tvb(c.at + 3, 1), c.p2)
    if c.length > 0 then add(tree, "lc", c.lc_range, c.length) end
    if c.le then add(tree, "le", c.le_range, c.le) end
end

local function secured(class)
    return is_proprietary(class) and class < 0xC0 and bits(class, 2, 2) == 1
end

-- A command of `sent` octets and its response, in `tvb`.
local function exchange(tree, pinfo, tvb, sent, card)
    local c = parse(tvb, 0, sent)
    c.plain = c.length
    if secured(c.class) and c.length >= 8 then c.plain = c.length - 8 end
    local data = c.length > 0 and octets_of(tvb(c.from, c.plain > 0 and c.plain or c.length)) or ""
    local response = octets_of(tvb(sent, tvb:len() - sent))
    local first = not pinfo.visited or not known[pinfo.number]
    local seen = first and {} or known[pinfo.number]
    if first and c.ins == 0xE2 then learn_store_data(channel(card, channel_of(c.class)), seen, c, data) end
    head(tree, c)
    local dissect = is_proprietary(c.class) and GLOBALPLATFORM[c.ins] or COMMAND[c.ins]
    local summary, kind = instruction(c.class, c.ins), "data"
    if dissect then
        summary, kind = dissect(tree, pinfo, c, seen)
    elseif c.length > 0 then
        if c.plain > 0 then add(tree, "data", tvb(c.from, c.plain)) end
    end
    if c.plain < c.length then add(tree, "mac", tvb(c.from + c.plain, c.length - c.plain)) end
    seen.summary = summary
    if first then
        learn(card, c, data, response, kind, seen)
        known[pinfo.number] = seen
    end
    if c.ins == 0xC0 and seen.continues then summary = "GET RESPONSE to " .. seen.continues end
    local length = tvb:len() - sent - 2
    if seen.partial then
        if length > 0 then add(tree, "data", tvb(sent, length)) end
    elseif seen.answer then
        local whole = ByteArray.new(seen.answer, true):tvb("Answer of several GET RESPONSE")
        if length > 0 then add(tree, "data", tvb(sent, length)):set_hidden() end
        answer(tree, pinfo, seen.kind, whole, 0, whole:len())
    else
        answer(tree, pinfo, seen.kind, tvb, sent, math.max(length, 0))
    end
    local sw = number_of(response:sub(-2))
    local words = string.format("%04X %s", sw, status_words(c.ins, sw))
    local item = add(tree, "status_word", tvb(tvb:len() - 2, 2), sw, words)
    if pin == dissect and math.floor(sw / 16) == 0x63C then add(item, "pin.tries_left", nil, sw % 16) end
    local number = channel_of(c.class)
    if number > 0 then summary = summary .. ", channel " .. number end
    return summary, string.format("%04X", sw)
end

-- Where a command ends that stands in one with its response: what is sent to the card is P3 octets, unless the instruction
-- asks for data. `capture` does the same.
local function sent_of(tvb)
    local length = tvb:len()
    if length == 6 then return 4 end
    local cla, ins, p3 = tvb(0, 1):uint(), tvb(1, 1):uint(), tvb(4, 1):uint()
    local rest = length - 5
    if rest == 2 or rest < p3 + 2 then return 5 end
    if OUTGOING[ins] then
        local get_status = ins == 0xF2 and cla >= 0x80 and p3 >= 2 and tvb(5, 1):uint() == 0x4F
            and tvb(6, 1):uint() + 2 <= p3
        if not get_status then return 5 end
    end
    if rest > p3 + 2 and tvb(5 + p3, 1):uint() == 0 then return 6 + p3 end
    return 5 + p3
end

-- Packets -------------------------------------------------------------------------------------------------------------------

local function columns(pinfo, summary, outcome)
    pinfo.cols.protocol = "SIM"
    pinfo.cols.info = outcome and (summary .. "  " .. outcome) or summary
end

local function whole(tree, pinfo, tvb, sent, card)
    if not sent or sent < 4 or tvb:len() < sent + 2 then
        not_decoded(tree, tvb(), "shorter than a command and a status word")
        local answer = sent and sent < tvb:len() and hex(octets_of(tvb(sent))) or "no answer"
        return columns(pinfo, "no command", answer)
    end
    local summary, outcome = exchange(tree, pinfo, tvb, sent, card)
    tree:append_text(", " .. summary .. ", " .. outcome)
    tree:add(X.command, tvb(0, sent)):set_hidden()
    tree:add(X.response, tvb(sent, tvb:len() - sent)):set_hidden()
    columns(pinfo, summary, outcome)
end

local function atr(tree, pinfo, tvb, card, warm)
    if not pinfo.visited then reset(card) end
    tree:add(X.warm, warm)
    if tvb:len() > 0 then add(tree, "atr.octets", tvb()) end
    local dissector = Dissector.get("iso7816.atr")
    if dissector and tvb:len() > 1 then dissector:call(tvb, pinfo, tree) end
    columns(pinfo, (warm and "warm reset" or "reset"), "ATR " .. hex(octets_of(tvb())))
end

local function pps(tree, pinfo, tvb, asked)
    local item = tree:add(X.pps, tvb())
    if tvb:len() > 1 then
        local format = tvb(1, 1):uint()
        item:add(X.pps_protocol, tvb(1, 1), format % 16)
        if bits(format, 4, 1) == 1 and tvb:len() > 2 then item:add(X.pps1, tvb(2, 1)) end
    end
    columns(pinfo, asked and "PPS request" or "PPS response", hex(octets_of(tvb())))
end

-- Parts of a TPDU: header, data, status word; with the last of them the exchange is whole.
local function part(tree, pinfo, tvb, kind, card)
    local octets = octets_of(tvb())
    local first = not pinfo.visited or not known[pinfo.number]
    if kind == 4 then
        if first then parts[card] = { sent = octets, received = "" } end
        if tvb:len() >= 5 then head(tree, parse(tvb, 0, 4)) end
        return columns(pinfo, tvb:len() > 1 and instruction(byte(octets, 1), byte(octets, 2)) or "TPDU", "header")
    end
    local open = parts[card]
    if kind ~= 7 then
        if first and open then
            local side = kind == 5 and "sent" or "received"
            open[side] = open[side] .. octets
        end
        tree:add(X.part, tvb())
        return columns(pinfo, kind == 5 and "TPDU command data" or "TPDU response data", #octets .. " octets")
    end
    local seen = known[pinfo.number]
    local all = first and open and { open.sent, open.received .. octets } or seen and seen.parts
    if not all then
        tree:add(X.part, tvb())
        return columns(pinfo, "TPDU status word", hex(octets))
    end
    if first then parts[card] = nil end
    local joined = ByteArray.new(all[1] .. all[2], true):tvb("TPDU")
    whole(tree, pinfo, joined, #all[1], card)
    if known[pinfo.number] then known[pinfo.number].parts = all end
end

local function sim(tvb, pinfo, root)
    local length = 4 * tvb(1, 1):uint()
    local kind, card = tvb(12, 1):uint(), tostring(tvb(13, 1):uint())
    local tree = root:add(vuicc, tvb())
    tree:add(X.sub_type, tvb(12, 1))
    if card ~= "0" then tree:add(X.card, tvb(13, 1)) end
    if tvb:len() <= length then return not_decoded(tree, nil, "nothing behind the header of GSMTAP") end
    local payload = tvb(length):tvb()
    local marked = tvb(8, 2):uint() == 0x5655 and tvb(10, 2):uint() or nil
    if kind == 0 then
        local sent = marked
        if not sent or sent > payload:len() then
            sent = payload:len() >= 6 and sent_of(payload) or nil
        end
        whole(tree, pinfo, payload, sent, card)
    elseif kind == 1 then
        atr(tree, pinfo, payload, card, marked == 1)
    elseif kind == 2 or kind == 3 then
        pps(tree, pinfo, payload, kind == 2)
    else
        part(tree, pinfo, payload, kind, card)
    end
end

local function is_sim(tvb)
    return tvb:len() >= 16 and tvb(0, 1):uint() == 2 and tvb(1, 1):uint() >= 4 and tvb(2, 1):uint() == 4
        and tvb(12, 1):uint() <= 7
end

local ports = DissectorTable.get("udp.port")
local others = ports:get_dissector(4729)

-- Takes GSMTAP of type SIM; and, where a user link is set to it, an APDU and its response in one.
function vuicc.dissector(tvb, pinfo, root)
    if is_sim(tvb) then
        sim(tvb, pinfo, root)
    elseif pinfo.match_uint == 4729 or pinfo.dst_port == 4729 or pinfo.src_port == 4729 then
        if others then others:call(tvb, pinfo, root) end
    else
        local tree = root:add(vuicc, tvb())
        local first = tvb(0, 1):uint()
        if first == 0x3B or first == 0x3F then
            atr(tree, pinfo, tvb, "0", false)
        else
            whole(tree, pinfo, tvb, tvb:len() >= 6 and sent_of(tvb) or nil, "0")
        end
    end
    return tvb:len()
end

ports:add(4729, vuicc)
