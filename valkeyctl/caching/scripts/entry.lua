-- What the scripts that read entries share; it stands in front of each of them.
--
-- KEYS  1: version key of the namespace   2...: entries
-- ARGV  1: prefix of tags' version keys
--       2: 8 random bytes to make missing versions with, or '' or nothing to leave them missing
--       3: ms that a version made here lives
--       4...: tags whose versions the caller wants to know
-- Layout of an entry: codec.py.

local function version_of(key)
  local version = redis.call('GET', key)
  -- Anything but 16 bytes would shift the layout of the entries written under it.
  if version and #version == 16 then return version end
  if not ARGV[2] or ARGV[2] == '' then return '' end
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2]
  local high = math.floor(micros / 4294967296)
  version = struct.pack('>I4I4', high, micros - high * 4294967296) .. ARGV[2]
  -- Out of memory, or a replica: go on without one; the caller will then not store.
  local made = redis.pcall('SET', key, version, 'PX', ARGV[3])
  return made.ok and version or ''
end

-- Returns the versions of the tags asked for, made where missing.
local function tag_versions()
  local versions = {}
  for i = 4, #ARGV do versions[i - 3] = version_of(ARGV[1] .. ARGV[i]) end
  return versions
end

-- Lets the versions outlive the load that a miss begins: its value is stored only if they do.
local function outlive()
  if not ARGV[2] or ARGV[2] == '' then return end
  redis.pcall('PEXPIRE', KEYS[1], ARGV[3], 'GT')
  for i = 4, #ARGV do redis.pcall('PEXPIRE', ARGV[1] .. ARGV[i], ARGV[3], 'GT') end
end

-- true: all tags are as they were; false: one was invalidated; nil: not an entry.
local function tags_hold(entry, past)
  local at = 31
  local hold = true
  for _ = 1, string.byte(entry, 4) do
    local length = string.byte(entry, at)
    if not length or at + 1 + length + 16 > past then return nil end
    local tag = string.sub(entry, at + 1, at + length)
    at = at + 1 + length
    if hold and redis.call('GET', ARGV[1] .. tag) ~= string.sub(entry, at, at + 15) then
      hold = false
    end
    at = at + 16
  end
  if at ~= past then return nil end
  return hold
end

local function state_of(entry, version)
  if #entry < 30 or string.byte(entry, 1) ~= 203 then return 2 end
  local past = 31 + string.byte(entry, 29) * 256 + string.byte(entry, 30)
  if #entry < past - 1 then return 2 end
  local hold = true
  if past > 31 or string.byte(entry, 4) > 0 then hold = tags_hold(entry, past) end
  if hold == nil then return 2 end
  if not hold or string.sub(entry, 5, 20) ~= version then return 1 end
  return nil
end

-- Returns the entry if it is valid, else 0: absent, 1: stale, dropped, 2: not an entry, dropped.
local function fetched(key, version)
  local entry = redis.pcall('GET', key)
  if not entry then return 0 end
  if type(entry) == 'table' then return 2 end -- a hash or a list: not ours to delete
  local bad = state_of(entry, version)
  if not bad then return entry end
  redis.pcall('UNLINK', key) -- pcall: a replica may still say that it is a miss
  return bad
end
