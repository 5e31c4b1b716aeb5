-- Returns entries with the versions that hold, their age and what they have left.
--
-- KEYS and ARGV: entry.lua
-- Reply {version, {tag version, ...}, now in ms, then two per entry: value or 0, 1, 2, ms left}
--       a version is '' where there is none

local version = version_of(KEYS[1])
local tags = tag_versions()
local time = redis.call('TIME')
local reply = {version, tags, time[1] * 1000 + math.floor(time[2] / 1000)}
local hits = 0
for i = 2, #KEYS do
  local entry = fetched(KEYS[i], version)
  local left = 0
  if type(entry) == 'string' then
    hits = hits + 1
    left = redis.call('PTTL', KEYS[i])
  end
  reply[#reply + 1] = entry
  reply[#reply + 1] = left
end
if hits < #KEYS - 1 or #KEYS == 1 then outlive() end
return reply
