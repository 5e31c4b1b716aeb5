-- Stores entries, each unless one that is valid and fresh is there.
--
-- KEYS, ARGV 1: entry.lua
-- ARGV  2...: ms that the entry lives or 0 for ever, its value; and so on
-- Reply per entry 1 stored, 0 left as it was

local HEAD = 38 + 32 * (1 + 128 + 16) -- header and tags at most
local ALWAYS = 4294967295

local function number(bytes)
  local high, low = struct.unpack('>I4I4', bytes)
  return high * 4294967296 + low
end

local version = redis.call('GET', KEYS[1]) or ''
local now = now_ms()

local function is_fresh(key)
  local entry = redis.pcall('GETRANGE', key, 0, HEAD - 1) -- pcall: it may be a hash
  if type(entry) ~= 'string' or entry == '' or fault_of(entry, version) then return false end
  local fresh = struct.unpack('>I4', string.sub(entry, 29, 32))
  return fresh == ALWAYS or number(string.sub(entry, 21, 28)) + fresh > now
end

local reply = {}
for i = 2, #KEYS do
  if is_fresh(KEYS[i]) then
    reply[i - 1] = 0
  else
    local life, value = ARGV[2 * i - 2], ARGV[2 * i - 1]
    if life == '0' then
      redis.call('SET', KEYS[i], value)
    else
      redis.call('SET', KEYS[i], value, 'PX', life)
    end
    reply[i - 1] = 1
  end
end
return reply
