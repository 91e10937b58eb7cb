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

-- The names of tags are those of the elements in `nodes`.
local function tags(octets, nodes)
    local list, at = {}, 1
    while at <= #octets do
        local from = at
        if byte(octets, at) % 32 == 31 then
            repeat at = at + 1 until at > #octets or byte(octets, at) < 128
        end
        local tag, name = octets:sub(from, at), nil
        for _, node in ipairs(nodes) do
            if node[1] == number_of(tag) then name = LABEL[node[2]] break end
        end
        list[#list + 1] = name and (hex(tag) .. " " .. name) or hex(tag)
        at = at + 1
    end
    return table.concat(list, ", ")
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
    tags = function(tree, name, range, octets, nodes)
        return add(tree, name, range, nil, tags(octets, NODES[nodes]))
    end,
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
    secret = function(tree, name) return add_secret(tree, name) end,
}

-- Every TLV of `tvb` from `from` on, `length` octets. Fields stand in the order of `nodes`, so that of two with the same tag
-- the first is meant first.
-- `wary`: what has no name in its place may be a secret.
function walk(tree, nodes, tvb, from, length, depth, wary)
    if length == 0 then return end
    local octets = octets_of(tvb(from, length))
    local at, expected = 1, 1
    while at <= #octets do
        local tag, head, size = header(octets, at)
        if not tag or at + head + size - 1 > #octets then
            if wary then return add_secret(tree, "malformed") end
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
                if depth > 0 then walk(item, NODES[node[4]], tvb, value_at, size, depth - 1, wary) end
            else
                -- An empty value has no octets of its own to point at.
                local range = size > 0 and tvb(value_at, size) or nil
                if range or node[3] == "null" or node[3] == "text" then
                    READ[node[3]](tree, node[2], range or whole, value, node[4])
                end
            end
        elseif wary then
            add_secret(tree, "unknown")
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
