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
    -- The MF is selected, no file.
    channels[card .. ":0"] = { keys = false }
    parts[card] = nil
end

-- Words -------------------------------------------------------------------------------------------------------------------

local function is_proprietary(class)
    return class >= 0x80 and class ~= 0xA0
end

-- The name that an instruction has under this class and not under others.
local function renamed(class, ins)
    if is_proprietary(class) then return PROPRIETARY[ins] end
    return (class == 0xA0 and GSM or INTERINDUSTRY)[ins]
end

local function instruction(class, ins)
    return renamed(class, ins) or INSTRUCTIONS[ins] or string.format("INS %02X", ins)
end

-- Instructions whose data are a PIN or keys, and which are answered with keys.
local HIDES = { [0xD8] = true, [0x82] = true }
for ins in pairs(PINS) do HIDES[ins] = true end
for ins in pairs(PROGRAMMING) do HIDES[ins] = true end
local BRINGS_KEYS = { [0x88] = true, [0x89] = true }

local function channel_of(class)
    if class == 0xFF then return 0 end
    if bits(class, 6, 1) == 1 then return 4 + class % 16 end
    return class % 4
end

local function status_words(ins, sw)
    local sw1, sw2 = math.floor(sw / 256), sw % 256
    local count = sw2 == 0 and 256 or sw2
    local function counted(number, one, many) return number .. " " .. (number == 1 and one or many) end
    local there = STATUS_OF[ins] and STATUS_OF[ins][sw]
    if there then return there end
    if sw1 == 0x61 or sw1 == 0x9F then
        return counted(count, "octet is available", "octets are available") .. ", for GET RESPONSE"
    end
    if sw1 == 0x9E then
        return "error in SIM data download, " .. counted(count, "octet", "octets") .. " for GET RESPONSE"
    end
    if sw1 == 0x6C then return "Le has to be " .. count end
    if sw1 == 0x91 then
        return "done, and a proactive command of " .. counted(count, "octet", "octets") .. " waits for FETCH"
    end
    if sw1 == 0x92 and sw2 < 16 then return "done, after " .. counted(sw2, "internal try", "internal tries") end
    if sw1 == 0x63 and sw2 >= 0xC0 and sw2 <= 0xCF then
        return "not verified, " .. counted(sw2 % 16, "try left", "tries left")
    end
    for _, row in ipairs(STATUS) do
        if sw >= row[1] and sw <= row[2] then return row[3] end
    end
    return "without a name"
end

-- Kinds of answers of which each part may be a key.
local SEALED = { secret = true, gsm = true, gsm_algorithm = true, three_g = true, bootstrapping = true, naf = true, vgcs = true }

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
        if at + 1 + size > stop then
            if SECRETS[names[1]] then return add_secret(tree, name) end
            return not_decoded(tree, tvb(at, stop - at), "a length exceeds the data")
        end
        if SECRETS[name] then add_secret(tree, name)
        elseif size > 0 then add(tree, name, tvb(at + 1, size), tvb(at + 1, size):string()) end
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
    gsm_algorithm = function(tree)
        add_secret(tree, "authenticate.sres")
        add_secret(tree, "authenticate.kc")
    end,
    gsm_header = function(tree, _, tvb, from, length)
        if length < 7 then return add(tree, "data", tvb(from, length)) end
        local kind = tvb(from + 6, 1):uint()
        local is_directory = kind == 1 or kind == 2
        local size = is_directory and "gsm.free_memory" or "gsm.file_size"
        add(tree, size, tvb(from + 2, 2), tvb(from + 2, 2):uint())
        add(tree, "gsm.file_id", tvb(from + 4, 2))
        add(tree, "gsm.file_type", tvb(from + 6, 1), kind, ({ "MF", "DF", [4] = "EF" })[kind])
        local function number(name, at)
            if length > at then add(tree, name, tvb(from + at, 1), tvb(from + at, 1):uint()) end
        end
        if is_directory then
            number("gsm.characteristics", 13)
            number("gsm.dfs", 14)
            number("gsm.efs", 15)
            return number("gsm.codes", 16)
        end
        if length > 10 then add(tree, "gsm.access", tvb(from + 8, 3)) end
        number("gsm.status", 11)
        number("gsm.structure", 13)
        local structure = length > 13 and tvb(from + 13, 1):uint()
        if structure == 1 or structure == 3 then number("gsm.record_length", 14) end
    end,
    three_g = function(tree, _, tvb, from, length)
        local first = tvb(from, 1):uint()
        if first == 0xDB then
            local names = { "authenticate.res", "authenticate.ck", "authenticate.ik", "authenticate.kc" }
            return length_values(tree, names, tvb, from + 1, length - 1)
        end
        if first == 0xDC then return length_values(tree, { "authenticate.auts" }, tvb, from + 1, length - 1) end
        add_secret(tree, "data")
    end,
    bootstrapping = function(tree, _, tvb, from, length)
        local names = ({ [0xDB] = { "authenticate.res" }, [0xDC] = { "authenticate.auts" } })[tvb(from, 1):uint()]
        if names then return length_values(tree, names, tvb, from + 1, length - 1) end
        add_secret(tree, "data")
    end,
    naf = function(tree) add_secret(tree, "authenticate.ks_ext_naf") end,
    vgcs = function(tree) add_secret(tree, "authenticate.vstk") end,
    secret = function(tree) add_secret(tree, "data") end,
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
