-- What the scripts that read entries share; it stands in front of each of them.
--
-- KEYS  1: version key of the namespace   2...: entries
-- ARGV  1: prefix of tags' version keys
-- Layout of an entry: codec.py.

local HEADER = 38
local held = {} -- versions of tags, by tag; several entries of one call often share theirs

local function version_of_tag(tag)
  local version = held[tag]
  if version == nil then
    version = redis.call('GET', ARGV[1] .. tag) or ''
    held[tag] = version
  end
  return version
end

-- true: all tags are as they were; false: one was invalidated; nil: not an entry.
local function tags_hold(entry, past)
  local at = HEADER + 1
  local hold = true
  for _ = 1, string.byte(entry, 4) do
    local length = string.byte(entry, at)
    if not length or at + 1 + length + 16 > past then return nil end
    local tag = string.sub(entry, at + 1, at + length)
    at = at + 1 + length
    if hold and version_of_tag(tag) ~= string.sub(entry, at, at + 15) then hold = false end
    at = at + 16
  end
  if at ~= past then return nil end
  return hold
end

-- nil: valid; 1: stale; 2: not an entry of this format.
local function fault_of(entry, version)
  local magic, format, _, tags = string.byte(entry, 1, 4)
  if #entry < HEADER or magic ~= 203 or math.floor(format / 16) ~= 2 then return 2 end
  local high, low = string.byte(entry, 37, 38)
  local past = HEADER + 1 + high * 256 + low
  if #entry < past - 1 then return 2 end
  if past > HEADER + 1 or tags > 0 then
    local hold = tags_hold(entry, past)
    if hold == nil then return 2 end
    if not hold then return 1 end
  end
  if string.sub(entry, 5, 20) ~= version then return 1 end
  return nil
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
