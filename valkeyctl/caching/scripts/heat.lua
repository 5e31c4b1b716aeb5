-- Adds the reads of some ids to those of all processes and earlier runs.
--
-- KEYS  1: sorted set: id, reads
-- ARGV  1: ids to keep
--       2: ms that the set lives after its last addition
--       3: ms after which a read counts half, or 0 to let none count less, as in a second call
--       4...: id, reads, and so on
-- Reply ids in the set
-- How long ago the last addition was is said by what is left of the set's life.

local left = redis.call('PTTL', KEYS[1])
if left > 0 and ARGV[3] ~= '0' then
  local weight = 0.5 ^ (math.max(ARGV[2] - left, 0) / ARGV[3])
  redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[1], 'WEIGHTS', weight)
end
for i = 4, #ARGV, 2 do redis.call('ZINCRBY', KEYS[1], ARGV[i + 1], ARGV[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
