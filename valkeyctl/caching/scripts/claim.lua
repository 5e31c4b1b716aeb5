-- Returns an entry, or the right to load it with the versions that hold, or neither where
-- somebody else loads it.
--
-- KEYS  1, 2: entry.lua   3: lease
-- ARGV  1: entry.lua
--       2: 8 random bytes to make missing versions with
--       3: ms that a version lives at least from now on
--       4: 16 random bytes, the token of a new lease
--       5: ms that a lease lives
--       6: '', or the 8 bytes `created` of the entry to replace, or '*': replace any, and take
--          the lease from whoever holds it
--       7...: tags whose versions a later write needs
-- A lease is token, version, 'w' where somebody waits for its end or else '-', and the versions
-- of the tags. Who waits is woken by the end of the lease that took its place, too.
-- Reply {1, entry, now in ms, or 0 where it does not matter}
--       {2, 0, 1 or 2 as entry.lua, version or '', {tag version or '', ...}, '' or why there is
--       no lease}
--       {3, ms that the lease of another has left, version, {tag version, ...}}

local stored = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local version, lease = stored[1], stored[3]
-- Anything but 16 bytes would shift the layout of the entries written under it.
if not version or #version ~= 16 then version = '' end
-- Why there is no entry. One that is stale stays until it is written over: deleting it
-- here would let a server that is out of memory take the version, and not the value.
local fault = 0
if stored[2] then
  fault = fault_of(stored[2], version) or 0
  if fault == 0 and ARGV[6] ~= '*' and string.sub(stored[2], 21, 28) ~= ARGV[6] then
    local always = string.sub(stored[2], 29, 32) == '\255\255\255\255'
    return {1, stored[2], always and 0 or now_ms()}
  end
end
local tags = {}
local complete = version ~= ''
for i = 7, #ARGV do
  local tag = version_of_tag(ARGV[i])
  if #tag ~= 16 then
    tag = ''
    complete = false
  end
  tags[i - 6] = tag
end
-- A load that began under other versions brings nothing that may be served now.
if lease and ARGV[6] ~= '*' and complete and string.sub(lease, 17, 32) == version
  and string.sub(lease, 34) == table.concat(tags) then
  if string.sub(lease, 33, 33) ~= 'w' then redis.pcall('SETRANGE', KEYS[3], 32, 'w') end
  return {3, redis.call('PTTL', KEYS[3]), version, tags}
end

-- A hash or a list: MGET has no word for it, and the write will take its place.
if not stored[2] and redis.call('EXISTS', KEYS[2]) == 1 then fault = 2 end

-- Out of memory, or a replica: go on without versions; the caller will then not store.
local refusal = ''
local fresh = nil
local function made(key, version)
  if version ~= '' then
    -- In long steps: a new expiry is a change of the key, and near caches, which cannot
    -- know that it is no other, drop all that depends on it.
    local left = redis.call('PTTL', key)
    if left >= 0 and left < tonumber(ARGV[3]) then redis.pcall('PEXPIRE', key, 2 * ARGV[3]) end
    return version
  end
  if not fresh then
    local time = redis.call('TIME')
    local micros = time[1] * 1000000 + time[2]
    local high = math.floor(micros / 4294967296)
    fresh = struct.pack('>I4I4', high, micros - high * 4294967296) .. ARGV[2]
  end
  local reply = redis.pcall('SET', key, fresh, 'PX', 2 * ARGV[3])
  if reply.ok then return fresh end
  refusal = reply.err
  return ''
end

version = made(KEYS[1], version)
for i, tag in ipairs(tags) do tags[i] = made(ARGV[1] .. ARGV[i + 6], tag) end
if version ~= '' then
  local awaited = lease and string.sub(lease, 33, 33) == 'w' and 'w' or '-'
  local reply = redis.pcall(
    'SET', KEYS[3], ARGV[4] .. version .. awaited .. table.concat(tags), 'PX', ARGV[5])
  if not reply.ok then refusal = reply.err end
end
return {2, fault, version, tags, refusal}
