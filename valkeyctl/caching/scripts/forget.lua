-- Deletes version keys, and tells the near caches.
--
-- KEYS  version keys; none where they were deleted before
-- ARGV  1: channel   2: what they are told
-- Reply how many near caches listen; -1 where this user may not tell them

if #KEYS > 0 then redis.call('UNLINK', unpack(KEYS)) end
local heard = redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return type(heard) == 'number' and heard or -1
