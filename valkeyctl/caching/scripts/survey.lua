-- Says how some entries of one namespace stand, without their values.
--
-- KEYS, ARGV 1: entry.lua
-- ARGV  2...: tags whose versions the caller wants to know
-- Reply {version or '', {tag version or '', ...},
--       then per entry {ms that it is still fresh, its `created`, 8 bytes}, or 0 where
--       there is no valid one}

local HEAD = 38 + 32 * (1 + 128 + 16) -- header and tags at most
local ALWAYS = 4294967295

local function number(bytes)
  local high, low = struct.unpack('>I4I4', bytes)
  return high * 4294967296 + low
end

local version = redis.call('GET', KEYS[1]) or ''
local versions = {}
for i = 2, #ARGV do versions[i - 1] = version_of_tag(ARGV[i]) end
local now = now_ms()
local reply = {version, versions}
for i = 2, #KEYS do
  reply[i + 1] = 0
  local entry = redis.pcall('GETRANGE', KEYS[i], 0, HEAD - 1) -- pcall: it may be a hash
  if type(entry) == 'string' and entry ~= '' and not fault_of(entry, version) then
    local created = string.sub(entry, 21, 28)
    local fresh = struct.unpack('>I4', string.sub(entry, 29, 32))
    local left = redis.call('PTTL', KEYS[i])
    if left < 0 then left = ALWAYS end -- written by another program, without expiry
    if fresh ~= ALWAYS then left = math.min(left, number(created) + fresh - now) end
    reply[i + 1] = {math.max(left, 0), created}
  end
end
return reply
