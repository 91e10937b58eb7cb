-- What the commands and responses did, found out once, in order -------------------------------------------------------------

-- Commands on the content of files, and those that name one in P2.
local ON_CONTENT = { [0x32] = true, [0xB0] = true, [0xCB] = true, [0xD6] = true, [0xDB] = true }
local ON_RECORDS = { [0xA2] = true, [0xB2] = true, [0xDC] = true }

-- What may carry what was typed into a hidden input, or keys over the air.
local CARRIES_INPUT = { [0x14] = true, [0xC2] = true }

local PACKAGE = { [0xBF36] = true, [0xBF23] = true, [0x86] = true, [0x87] = true, [0x88] = true,
    [0xA0] = true, [0xA1] = true, [0xA2] = true, [0xA3] = true }

-- Which blocks are missing before this one.
local function missing_before(state, block)
    if block == 0 then
        state.chain, state.blocks, state.incomplete = "", 0, false
        return nil
    end
    local next_block = state.blocks or 0
    if next_block == block then return nil end
    state.incomplete = true
    if next_block + 1 == block then return "block " .. next_block end
    if next_block < block then return "blocks " .. next_block .. " to " .. block - 1 end
    return "block " .. next_block .. ": this one came before"
end

local function learn_store_data(state, seen, c, data)
    seen.isd_r = is_isd_r(state.aid)
    seen.missing = missing_before(state, c.p2)
    seen.incomplete = state.incomplete
    state.before = { chain = state.chain, blocks = state.blocks }
    state.blocks = c.p2 + 1
    local alone = (state.chain or "") == "" and c.p1 >= 0x80
    state.chain = (state.chain or "") .. data
    seen.so_far = #state.chain
    local tag = header(state.chain, 1)
    if tag == 0xBF36 then state.package = true
    elseif tag and not PACKAGE[tag] then state.package = false
    elseif tag and tag >= 0x86 and tag <= 0x88 and seen.isd_r and c.p1 >= 0x80 and alone
        and math.floor(c.p1 / 32) % 4 == 0 then
        -- A recording may begin within one.
        state.package = true
    end
    seen.package = state.package and PACKAGE[tag or 0] or false
    seen.chain_name = seen.isd_r and tag and MESSAGES[tag] and MESSAGES[tag].name or nil
    -- What is not for ISD-R may be keys.
    seen.open = seen.package or seen.chain_name ~= nil or state.aid ~= nil and seen.isd_r
    seen.sealed = math.floor(c.p1 / 32) % 4 ~= 0 or math.floor(c.p1 / 8) % 4 == 1
    if c.p1 >= 0x80 then
        if not alone and not seen.incomplete then seen.request = state.chain end
        state.chain, state.blocks, state.incomplete = "", 0, false
    end
end

-- Whether a response whose command is not known looks like the answer to AUTHENTICATE.
local function looks_like_keys(c, received)
    local first, second = byte(received, 1), byte(received, 2)
    if first == 0xDB then return true end
    return first == 4 and second ~= 0 and #received == 14 or c.class == 0xA0 and #received == 12
end

-- The short identifier that READ BINARY, UPDATE BINARY and their relatives for records name.
local function short_identifier(c)
    if c.ins == 0xB0 or c.ins == 0xD6 then return c.p1 >= 0x80 and c.p1 % 32 or nil end
    local sfi = ON_RECORDS[c.ins] and math.floor(c.p2 / 8) or 0
    return sfi ~= 0 and sfi or nil
end

-- Whether a short identifier may be that of a file of keys; of which application is not known.
local function short_keys(state, sfi)
    local within = SHORT_KEYS[sfi]
    return within and (state.keys == nil or within[0] or within[state.folder]) or false
end

-- Whether a command may be about a file of keys: also if a recording began behind its SELECT.
local function on_keys(state, c)
    local sfi = short_identifier(c)
    if sfi and short_keys(state, sfi) then return true end
    if state.keys ~= nil then return state.keys end
    return not sfi and (ON_CONTENT[c.ins] or ON_RECORDS[c.ins]) or false
end

-- Whether the data of a command may be keys for another reason. sysmoSIM-GR1 and GR2 have a RESIZE FILE of their own.
local function hides(c, data)
    return HIDES[c.ins] or c.ins == 0xD4 and #data > 0 and byte(data, 1) ~= 0x62
end

local function learn(card, c, data, response, kind, seen)
    local number = channel_of(c.class)
    local state = channel(card, number)
    local sw = number_of(response:sub(-2))
    local sw1, received = math.floor(sw / 256), response:sub(1, -3)
    if c.ins == 0xC0 then
        seen.kind = state.pending and state.pending.kind or looks_like_keys(c, received) and "secret" or "data"
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
    if sw1 == 0x61 or sw1 == 0x9E or sw1 == 0x9F then
        state.pending = { kind = kind, summary = seen.summary, data = received }
        seen.partial = true
    else
        state.pending = nil
    end
    local done = sw == 0x9000 or sw1 == 0x61 or sw1 == 0x62 or sw1 == 0x91 or sw1 == 0x9F
    if not done then
        -- A block that was refused comes again, or the request is given up.
        if c.ins == 0xE2 and state.before and c.p1 < 0x80 then
            state.chain, state.blocks = state.before.chain, state.before.blocks
        end
        return
    end
    local sfi = short_identifier(c)
    if sfi and (state.keys ~= nil or short_keys(state, sfi)) then state.keys = short_keys(state, sfi) end
    if c.ins == 0xA4 then
        local id = c.length == 0 and 0x3F00 or number_of(data:sub(-2))
        local is_directory = c.p1 == 4 or c.length == 0 or id == 0x3F00 or math.floor(id / 256) % 32 == 31
        if is_directory or KEY_FOLDERS[id] then
            state.folder = c.p1 ~= 4 and id or nil
        elseif c.length >= 4 then
            state.folder = number_of(data:sub(-4, -3))
        end
        local below = KEY_FOLDERS[state.folder or 0x3F00]
        state.keys = c.p1 ~= 4 and (HOLDS_KEYS[id] or below and (below == true or below[id]) or false)
    end
    if c.ins == 0xA4 and c.p1 == 4 then
        state.aid, state.chain, state.blocks, state.incomplete, state.package = data, "", 0, false, false
    elseif c.ins == 0x70 and c.p1 == 0 then
        local opened = c.p2 ~= 0 and c.p2 or byte(received, 1)
        -- On another than the basic channel it begins where that one is.
        local is_known = number == 0 or state.keys ~= nil
        channels[card .. ":" .. opened] = { aid = number > 0 and state.aid or nil }
        if is_known then channels[card .. ":" .. opened].keys = false end
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

local function secured_chain(class)
    return class ~= 0xA0 and bits(class, 4, 1) == 1
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
    local state = channel(card, channel_of(c.class))
    if first then
        seen.continues_chain = state.chained == c.ins
        state.chained = secured_chain(c.class) and c.ins or nil
        seen.keys = on_keys(state, c)
    end
    if first and c.ins == 0xE2 and is_proprietary(c.class) then learn_store_data(channel(card, channel_of(c.class)), seen, c, data) end
    head(tree, c)
    local dissect = is_proprietary(c.class) and GLOBALPLATFORM[c.ins] or COMMAND[c.ins]
    if not is_proprietary(c.class) and renamed(c.class, c.ins) then dissect = nil end
    local summary, kind = instruction(c.class, c.ins), "data"
    if dissect then
        summary, kind = dissect(tree, pinfo, c, seen)
        if kind == "template" and c.class == 0xA0 then kind = "gsm_header" end
    elseif c.plain > 0 then
        if hides(c, data) or seen.keys then add_secret(tree, "data") else add(tree, "data", tvb(c.from, c.plain)) end
    end
    if not dissect and seen.keys then kind = "secret" end
    seen.hides = hides(c, data) or seen.keys or c.ins == 0xE2 and is_proprietary(c.class) and not seen.open
    seen.brings = BRINGS_KEYS[c.ins] or kind == "secret"
    if c.plain < c.length and not PINS[c.ins] then add(tree, "mac", tvb(c.from + c.plain, c.length - c.plain)) end
    seen.summary = summary
    if first then
        learn(card, c, data, response, kind, seen)
        known[pinfo.number] = seen
    end
    if c.ins == 0xC0 and seen.continues then summary = "GET RESPONSE to " .. seen.continues end
    local length = tvb:len() - sent - 2
    if seen.partial then
        if length > 0 then
            if seen.brings or SEALED[seen.kind] then add_secret(tree, "data") else add(tree, "data", tvb(sent, length)) end
        end
    elseif seen.answer then
        local whole = ByteArray.new(seen.answer, true):tvb("Answer of several GET RESPONSE")
        if length > 0 and not SEALED[seen.kind] then add(tree, "data", tvb(sent, length)):set_hidden() end
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
    return summary, string.format("%04X", sw), seen.hides and 4 or sent, not (seen.brings or SEALED[seen.kind])
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
        local hides = tvb:len() > 4 and HIDES[tvb(1, 1):uint()]
        not_decoded(tree, tvb(0, hides and 4 or tvb:len()), "shorter than a command and a status word")
        local answer = sent and sent < tvb:len() and hex(octets_of(tvb(sent))) or "no answer"
        return columns(pinfo, "no command", answer)
    end
    local summary, outcome, shown, is_open = exchange(tree, pinfo, tvb, sent, card)
    tree:append_text(", " .. summary .. ", " .. outcome)
    tree:add(X.command, tvb(0, math.min(shown, sent))):set_hidden()
    local from = is_open and sent or tvb:len() - 2
    tree:add(X.response, tvb(from, tvb:len() - from)):set_hidden()
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

-- Whether the data of a TPDU may be secret, before its exchange is whole.
local function part_is_secret(card, sent, kind, octets)
    if #sent < 5 then return true end
    local c = { class = byte(sent, 1), ins = byte(sent, 2), p1 = byte(sent, 3), p2 = byte(sent, 4) }
    local state = channel(card, channel_of(c.class))
    if on_keys(state, c) then return true end
    if kind == 6 then return BRINGS_KEYS[c.ins] or c.ins == 0xC0 end
    local to_isd_r = state.aid ~= nil and is_isd_r(state.aid)
    return hides(c, octets) or CARRIES_INPUT[c.ins] or c.ins == 0xE2 and not to_isd_r
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
            known[pinfo.number] = { is_secret = part_is_secret(card, open.sent, kind, octets) }
        end
        if known[pinfo.number] and known[pinfo.number].is_secret then
            add_secret(tree, "data")
        else
            tree:add(X.part, tvb())
        end
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
