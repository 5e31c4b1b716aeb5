-- Returns the valid ones of some entries of one namespace; the shortest way to a hit.
--
-- KEYS, ARGV 1: entry.lua
-- ARGV  2: '1' to be told what each entry has left
--       3...: tags whose versions the caller wants to know
-- Reply {now in ms or 0 where nothing was valid, version or '', {tag version or '', ...},
--       {ms left or -1, ...} for the entries, or empty,
--       then per entry its value, or 0, 1, 2 as entry.lua, or 3: not read, ask again}

local ENTRIES = 16 -- read at once
local BYTES = 4194304 -- after which no more are read: the reply stands in memory as a whole

-- Returns the entry if it is valid, else 0: absent, 1: stale, dropped, 2: not an entry, dropped.
local function checked(key, entry, version)
  if not entry then return 0 end
  local fault = fault_of(entry, version)
  if not fault then return entry end
  redis.pcall('UNLINK', key) -- pcall: a replica may still say that it is a miss
  return fault
end

local version = ''
local reply = {0, '', {}, {}}
local bytes = 0
local hit = false
for from = 2, #KEYS, ENTRIES do
  local to = math.min(from + ENTRIES - 1, #KEYS)
  if bytes >= BYTES then
    for i = from, to do
      reply[i + 3] = 3
      if ARGV[2] == '1' then reply[4][i - 1] = -1 end
    end
  else
    local stored
    if from == 2 then
      -- With the first of them, and no command more.
      stored = redis.call('MGET', KEYS[1], unpack(KEYS, from, to))
      version = table.remove(stored, 1) or ''
    else
      stored = redis.call('MGET', unpack(KEYS, from, to))
    end
    for i = from, to do
      local entry = checked(KEYS[i], stored[i - from + 1], version)
      if type(entry) == 'string' then
        bytes = bytes + #entry
        hit = true
      end
      if ARGV[2] == '1' then
        reply[4][i - 1] = type(entry) == 'string' and redis.call('PTTL', KEYS[i]) or -1
      end
      reply[i + 3] = entry
    end
  end
end
if hit then reply[1] = now_ms() end
reply[2] = version
for i = 3, #ARGV do reply[3][i - 2] = version_of_tag(ARGV[i]) end
return reply
