-- Renews or gives back the lease to load an entry, if it is still the caller's.
--
-- KEYS  1: lease
-- ARGV  1: its token
--       2: ms that it shall live from now on, or '' to give it back
--       3: channel that waiters listen on
--       4: what they are told
-- Reply 1 done, 0 it is another's or gone

local lease = redis.call('GET', KEYS[1])
if not lease or string.sub(lease, 1, 16) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('UNLINK', KEYS[1])
if string.sub(lease, 33, 33) == 'w' then redis.pcall('PUBLISH', ARGV[3], ARGV[4]) end
return 1
