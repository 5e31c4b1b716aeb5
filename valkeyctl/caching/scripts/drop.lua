-- Deletes an entry that its reader could not decode, unless it was written anew.
--
-- KEYS  1: entry
-- ARGV  1: the first 38 bytes that the reader saw
if redis.call('GETRANGE', KEYS[1], 0, 37) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
