#!lua flags=allow-oom
-- Deletes keys; writes in any case, so that a WAIT on the same connection is about now.
-- (allow-oom: the write of a key that is gone again at once must not be refused.)
--
-- KEYS  1...: what to delete
-- Reply how many there were

local deleted = redis.call('UNLINK', unpack(KEYS))
if deleted == 0 then
  redis.call('SET', KEYS[1], '', 'PX', 1)
  redis.call('UNLINK', KEYS[1])
end
return deleted
