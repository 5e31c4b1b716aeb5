-- Finds the entries that carry a tag, by the bytes of their headers, and deletes them.
--
-- KEYS: entries, on a Cluster of one slot. ARGV: 1 the tag, 2 'unlink' or 'look'.
-- Returns how many were deleted; for 'look' flat triples of what would be: key, bytes by
-- MEMORY USAGE, milliseconds to live (-1 for ever).
--
-- Reading and deleting are one step: an entry written anew without the tag stays. Values
-- are not read: a header has 38 bytes, and after them is the tag block, for each tag its
-- length, the tag, and a version of 16 bytes. caching/codec.py is the format.

local call, byte, sub = redis.call, string.byte, string.sub
local tag = ARGV[1]
local size = #tag

local function carries(key)
    local head = redis.pcall('GETRANGE', key, 0, 255)
    if type(head) == 'table' then
        -- Another type is no entry. Anything else, such as a right that the user lacks, must
        -- not be taken for the answer that nothing carries the tag.
        if sub(head.err, 1, 9) == 'WRONGTYPE' then return false end
        error(head)
    end
    if #head < 38 then return false end
    if byte(head, 1) ~= 0xCB or byte(head, 2) < 0x20 or byte(head, 2) > 0x2F then return false end
    local past = 38 + byte(head, 37) * 256 + byte(head, 38)
    if past > #head then head = call('GETRANGE', key, 0, past - 1) end
    local at = 39
    while at <= past and at <= #head do
        local length = byte(head, at)
        if length == size and sub(head, at + 1, at + length) == tag then return true end
        at = at + 1 + length + 16
    end
    return false
end

local found, n = {}, 0
for _, key in ipairs(KEYS) do
    if carries(key) then
        n = n + 1
        found[n] = key
    end
end

if ARGV[2] == 'unlink' then
    if n == 0 then return 0 end
    return call('UNLINK', unpack(found))
end

local facts = {}
for i, key in ipairs(found) do
    facts[3 * i - 2] = key
    facts[3 * i - 1] = call('MEMORY', 'USAGE', key)
    facts[3 * i] = call('PTTL', key)
end
return facts
