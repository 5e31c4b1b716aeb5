-- Returns entries and nothing else; the shortest way to a hit.
--
-- KEYS and ARGV: entry.lua
-- Reply for one entry: the value, or {0, 1 or 2, version, {tag version, ...}}
--       for several: {value or 0, 1, 2, ...}

local version = version_of(KEYS[1])
if #KEYS > 2 then
  local reply = {}
  for i = 2, #KEYS do reply[i - 1] = fetched(KEYS[i], version) end
  return reply
end
local entry = fetched(KEYS[2], version)
if type(entry) == 'string' then return entry end
local reply = {entry, version, tag_versions()}
outlive()
return reply
