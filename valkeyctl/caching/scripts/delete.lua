-- Deletes an entry, and the lease of whoever loads it, whose value is then not stored.
--
-- KEYS  1: entry   2: lease
-- ARGV  1: channel that waiters for the lease listen on
-- Reply 1 there was an entry, 0 there was none

local lease = redis.call('GET', KEYS[2])
if lease then
  redis.call('UNLINK', KEYS[2])
  if string.sub(lease, 33, 33) == 'w' then redis.pcall('PUBLISH', ARGV[1], '1' .. KEYS[1]) end
end
return redis.call('UNLINK', KEYS[1])
