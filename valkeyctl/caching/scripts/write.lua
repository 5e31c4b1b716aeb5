-- Stores an entry, unless what its value was loaded under has been invalidated since.
--
-- KEYS  1: version key of the namespace   2: entry
-- ARGV  1: version that the value was loaded under, or '' for whatever holds now
--       2: ms that the entry lives
--       3: 8 random bytes to make missing versions with
--       4: prefix of tags' version keys
--       5: first 4 bytes of the entry (magic, format, flags, number of tags)
--       6: payload
--       7...: tag, version that the value was loaded under or '', and so on
-- Reply 1 stored, 0 refused
-- Layout of an entry: codec.py.

local time = redis.call('TIME')

local function packed(number)
  local high = math.floor(number / 4294967296)
  return struct.pack('>I4I4', high, number - high * 4294967296)
end

-- Returns the version to write under, whether it must be made, or nil to refuse.
local function agreed(key, expected)
  local version = redis.call('GET', key)
  if version and #version ~= 16 then version = false end
  if expected ~= '' and version ~= expected then return nil end
  if version then return version, false end
  return packed(time[1] * 1000000 + time[2]) .. ARGV[3], true
end

-- A version outlives every entry written under it, so no key is without expiry.
local function keep(key, version, made)
  if made then
    redis.call('SET', key, version, 'PX', ARGV[2])
  else
    redis.call('PEXPIRE', key, ARGV[2], 'GT')
  end
end

-- All is decided before anything is written.
local version, made = agreed(KEYS[1], ARGV[1])
if not version then return 0 end
local tags = {}
local block = {}
for i = 7, #ARGV, 2 do
  local key = ARGV[4] .. ARGV[i]
  local tag_version, tag_made = agreed(key, ARGV[i + 1])
  if not tag_version then return 0 end
  tags[#tags + 1] = {key, tag_version, tag_made}
  block[#block + 1] = string.char(#ARGV[i]) .. ARGV[i] .. tag_version
end

-- The entry first: once a script has written anything, a server that is out of memory
-- lets it write on, so this is the write that must meet the refusal.
local joined = table.concat(block)
redis.call('SET', KEYS[2], table.concat({
  ARGV[5], version, packed(time[1] * 1000 + math.floor(time[2] / 1000)),
  struct.pack('>I2', #joined), joined, ARGV[6],
}), 'PX', ARGV[2])
keep(KEYS[1], version, made)
for _, tag in ipairs(tags) do keep(tag[1], tag[2], tag[3]) end
return 1
