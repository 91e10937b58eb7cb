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
    [0] = { "GSM", "gsm" }, { "3G", "three_g" }, { "VGCS or VBS", "vgcs" }, { "reserved", "secret" },
    { "GBA, bootstrapping", "bootstrapping" }, { "MBMS", "secret" }, { "local key establishment", "secret" },
    { "reserved", "secret" },
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
    if security == "vgcs" then
        names = { "authenticate.vservice_id", "authenticate.vk_id", "authenticate.vstk_rand" }
    end
    length_values(tree, names, c.tvb, from, length)
    return "AUTHENTICATE, " .. context, security
end

COMMAND[0x89] = function(tree, _, c)
    local context = ({ [5] = "MBMS", [6] = "local key establishment" })[c.p2 % 8] or "reserved"
    add(tree, "authenticate.context", c.tvb(c.at + 3, 1), context)
    if c.length > 0 then add(tree, "data", c.tvb(c.from, c.length)) end
    return "AUTHENTICATE, " .. context, "secret"
end

COMMAND[0x84] = function() return "GET CHALLENGE", "challenge" end

local function pin(tree, _, c)
    add(tree, "pin.reference", c.tvb(c.at + 3, 1), c.p2)
    if c.length == 0 then return instruction(c.class, c.ins) .. ": tries left?", "data" end
    add_secret(tree, "pin.octets")
    return instruction(c.class, c.ins), "data"
end
for ins in pairs(PINS) do COMMAND[ins] = pin end

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
    if c.plain > 0 then add_secret(tree, "gp.host_cryptogram") end
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

GLOBALPLATFORM[0xD8] = function(tree, _, c, seen)
    add(tree, "gp.key_id", c.tvb(c.at + 3, 1), c.p2 % 128)
    add(tree, "gp.key_version_number", c.tvb(c.at + 2, 1), c.p1 % 128, "replaced")
    if c.plain > 0 then
        if not seen.continues_chain then
            add(tree, "gp.key_version_number", c.tvb(c.from, 1), c.tvb(c.from, 1):uint(), "new")
        end
        if c.plain > 1 then add_secret(tree, "gp.keys") end
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
    if seen.sealed then
        add_secret(tree, "data")
    else
        -- A security domain is given its keys like this as well.
        walk(tree, NODES[DATA_OBJECTS], tvb, from, length, 24, true)
    end
    return "STORE DATA", "data"
end

COMMAND[0xE2] = function(tree, _, c, seen)
    add(tree, "store_data.block", c.tvb(c.at + 3, 1), c.p2)
    add(tree, "store_data.last", c.tvb(c.at + 2, 1), c.p1 >= 0x80)
    if seen.missing then add(tree, "store_data.missing", nil, seen.missing) end
    if c.p1 < 0x80 or seen.incomplete then
        if c.plain > 0 then
            if seen.open then add(tree, "data", c.tvb(c.from, c.plain)) else add_secret(tree, "data") end
        end
        add(tree, "store_data.octets", nil, seen.so_far)
        local name = seen.package and "LoadBoundProfilePackage" or seen.chain_name
        local of = name and (" of " .. name) or ""
        if seen.incomplete then of = c.p1 < 0x80 and ", of an incomplete request" or ", the last of an incomplete request" end
        return "STORE DATA, block " .. c.p2 .. of, "data"
    end
    if seen.request then
        local tvb = ByteArray.new(seen.request, true):tvb("Request of several STORE DATA")
        return request(tree, seen, tvb, 0, tvb:len())
    end
    return request(tree, seen, c.tvb, c.from, c.plain)
end
