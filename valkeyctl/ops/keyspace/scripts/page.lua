-- One page of keys with what they cost: SCAN, MEMORY USAGE, PTTL and types in one step.
--
-- ARGV: cursor, count, and a glob where only some keys are wanted.
-- Returns the next cursor, and three columns of equal length: keys, bytes, milliseconds to
-- live (-1 for ever); then, for keys that are no strings, pairs of their place (1 is the
-- first) and type.
--
-- A second SCAN of the same page, for strings alone, costs a third of a TYPE per key.

local call = redis.call
local cursor, count, glob = ARGV[1], ARGV[2], ARGV[3]

local page, strings
if glob then
    page = call('SCAN', cursor, 'MATCH', glob, 'COUNT', count)
    strings = call('SCAN', cursor, 'MATCH', glob, 'COUNT', count, 'TYPE', 'string')[2]
else
    page = call('SCAN', cursor, 'COUNT', count)
    strings = call('SCAN', cursor, 'COUNT', count, 'TYPE', 'string')[2]
end

local keys, memory, lives, odd = {}, {}, {}, {}
local n, other, nth = 0, 0, 1
for _, key in ipairs(page[2]) do
    local bytes = call('MEMORY', 'USAGE', key)
    if bytes then
        n = n + 1
        keys[n] = key
        memory[n] = bytes
        lives[n] = call('PTTL', key)
    end
    if key == strings[nth] then
        nth = nth + 1
    elseif bytes then
        -- No string, or one that the second SCAN gave in another order.
        odd[other + 1] = n
        odd[other + 2] = call('TYPE', key).ok
        other = other + 2
    end
end

return {page[1], keys, memory, lives, odd}
