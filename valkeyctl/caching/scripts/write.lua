-- Stores an entry, unless what its value was loaded under has been invalidated since, or
-- the entry was set or deleted.
--
-- KEYS  1: version key of the namespace   2: entry   3: lease to load it
-- ARGV  1: version that the value was loaded under, or '' for whatever holds now
--       2: token of the lease that the value was loaded under, or '' to end any other's
--       3: ms that the entry lives
--       4: ms of those that it is fresh, or 4294967295 for all
--       5: ms that its load took, or 0
--       6: 8 random bytes to make missing versions with
--       7: prefix of tags' version keys
--       8: channel that waiters for the lease listen on
--       9: first 4 bytes of the entry (magic, format, flags, number of tags)
--       10: payload
--       11...: tag, version that the value was loaded under or '', and so on
-- Reply 1 stored, 0 refused
-- Layout of an entry: codec.py.

local stored = redis.call('MGET', KEYS[1], KEYS[3])
local lease = stored[2]
if ARGV[2] ~= '' and (not lease or string.sub(lease, 1, 16) ~= ARGV[2]) then return 0 end
local time = redis.call('TIME')

local function packed(number)
  local high = math.floor(number / 4294967296)
  return struct.pack('>I4I4', high, number - high * 4294967296)
end

-- Returns the version to write under, whether it must be made, or nil to refuse.
local function agreed(version, expected)
  if version and #version ~= 16 then version = false end
  if expected ~= '' and version ~= expected then return nil end
  if version then return version, false end
  return packed(time[1] * 1000000 + time[2]) .. ARGV[6], true
end

local life = ARGV[3]
-- A version outlives every entry written under it, so no key is without expiry.
local function keep(key, version, made)
  if made then
    redis.call('SET', key, version, 'PX', 2 * life)
  elseif ARGV[2] == '' then -- the claim of a lease has seen to it
    local left = redis.call('PTTL', key)
    -- In long steps, as in claim.lua.
    if left >= 0 and left < tonumber(life) then redis.call('PEXPIRE', key, 2 * life) end
  end
end

-- All is decided before anything is written.
local version, made = agreed(stored[1], ARGV[1])
if not version then return 0 end
local tags = {}
local block = {}
for i = 11, #ARGV, 2 do
  local key = ARGV[7] .. ARGV[i]
  local tag_version, tag_made = agreed(redis.call('GET', key), ARGV[i + 1])
  if not tag_version then return 0 end
  tags[#tags + 1] = {key, tag_version, tag_made}
  block[#block + 1] = string.char(#ARGV[i]) .. ARGV[i] .. tag_version
end

-- The entry first: once a script has written anything, a server that is out of memory
-- lets it write on, so this is the write that must meet the refusal.
local joined = table.concat(block)
redis.call('SET', KEYS[2], table.concat({
  ARGV[9], version, packed(time[1] * 1000 + math.floor(time[2] / 1000)),
  struct.pack('>I4I4I2', ARGV[4], ARGV[5], #joined), joined, ARGV[10],
}), 'PX', life)
keep(KEYS[1], version, made)
for _, tag in ipairs(tags) do keep(tag[1], tag[2], tag[3]) end
if lease then
  redis.call('UNLINK', KEYS[3])
  if string.sub(lease, 33, 33) == 'w' then redis.pcall('PUBLISH', ARGV[8], '1' .. KEYS[2]) end
end
return 1
