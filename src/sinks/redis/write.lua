-- Writes documents of one sink, each only over a lower version of its own: value and version change in one step.
--
-- KEYS: 1 the versions (hash: key text -> version and place), 2 the deleted ones by time (sorted set), 3 the claim or, in a
--       cluster, the fence of this slot; then the keys that items name by number
-- ARGV: epoch, process, latest time (ms), how long deletes are remembered (ms), "adopt" or "", "fence" or "", prefix of
--       documents without a key of their own, number of items; then of each item:
--       what, key text, version, number of its key or 0, expiry (ms; "+ms" from now; "" for none), number of arguments, these
--
-- Answers the server's time and then a word for each item, or a word for all when none was done.
--
-- A place is "" (deleted), "=" (a document under prefix and key text), ">key" (a document there), or
-- "s12:key…member" / "z12:key…member" (a member of the set or sorted set whose key has 12 bytes).

local versions, gone, claim = KEYS[1], KEYS[2], KEYS[3]
local epoch, process, latest, keep = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local adopt, fence, prefix, count = ARGV[5] == 'adopt', ARGV[6] == 'fence', ARGV[7], tonumber(ARGV[8])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = string.format('%.0f', now)
if now > latest then return { clock, 'late' } end

local held = redis.call('HMGET', claim, 'epoch', 'process', 'published')
if held[1] and tonumber(held[1]) > epoch then
  return { clock, process ~= '' and held[2] == process and 'passed' or 'taken', held[1] }
end

local items, texts, at = {}, {}, 9
for i = 1, count do
  local item = {
    what = ARGV[at], text = ARGV[at + 1], version = ARGV[at + 2], key = KEYS[tonumber(ARGV[at + 3])],
    expiry = ARGV[at + 4], first = at + 6, last = at + 5 + tonumber(ARGV[at + 5])
  }
  items[i], texts[i], at = item, item.text, item.last + 1
end
local known = redis.call('HMGET', versions, unpack(texts))

-- Where a place is: its key, its member if it has one, and the command that takes the member out.
local function found(place, text)
  local kind = string.sub(place, 1, 1)
  if kind == '=' then return prefix .. text end
  if kind == '>' then return string.sub(place, 2) end
  local length, rest = string.match(place, '^.(%d+):(.*)$')
  length = tonumber(length)
  return string.sub(rest, 1, length), string.sub(rest, length + 1), kind == 's' and 'SREM' or 'ZREM'
end

local function take_out(key, member, removal)
  -- What has become another type meanwhile is not ours any more.
  if member then redis.pcall(removal, key, member) else redis.pcall('UNLINK', key) end
end

-- Puts an item where it says. Returns its place, or nothing and why not.
local function put(item, old_key, old_member)
  local key, result = item.key
  if item.what == 'set' or item.what == 'sorted' then
    local member = ARGV[item.first]
    if item.what == 'set' then
      result = redis.pcall('SADD', key, member)
    else
      result = redis.pcall('ZADD', key, ARGV[item.first + 1], member)
    end
    if type(result) == 'table' and result.err then return nil, 'error ' .. result.err end
    return (item.what == 'set' and 's' or 'z') .. #key .. ':' .. key .. member
  end
  local ours = old_key == key and not old_member
  if not ours and not adopt and redis.call('EXISTS', key) == 1 then
    return nil, 'held ' .. redis.call('TYPE', key).ok
  end
  if item.what == 'text' then
    result = redis.pcall('SET', key, ARGV[item.first])
  else
    result = redis.pcall('UNLINK', key)
    for from = item.first, item.last, 1000 do
      if type(result) ~= 'table' or not result.err then
        result = redis.pcall('HSET', key, unpack(ARGV, from, math.min(from + 999, item.last)))
      end
    end
  end
  if type(result) == 'table' and result.err then return nil, 'error ' .. result.err end
  if item.expiry ~= '' then
    local from_now = string.match(item.expiry, '^%+(.*)$')
    redis.call('PEXPIREAT', key, from_now and string.format('%.0f', now + tonumber(from_now)) or item.expiry)
  end
  return key == prefix .. item.text and '=' or '>' .. key
end

local answers, changed, deleted, highest = { clock }, {}, {}, 0

local function settle(item, place)
  changed[#changed + 1], changed[#changed + 2] = item.text, item.version .. place
  if place == '' then deleted[#deleted + 1], deleted[#deleted + 2] = clock, item.text end
  highest = math.max(highest, tonumber(item.version))
  return 'ok'
end

local function write(item, entry)
  local stored, place = nil, ''
  if entry then stored, place = string.match(entry, '^(%d+)(.*)$') end
  local there, version = tonumber(stored), tonumber(item.version)
  if item.what == 'sweep' and (place == '' or there >= tonumber(ARGV[item.first])) then return 'ok' end
  if there and there > version then return 'above ' .. stored end
  if there == version then return 'same' end
  local old_key, old_member, removal
  if place ~= '' then old_key, old_member, removal = found(place, item.text) end
  if item.what == 'delete' or item.what == 'sweep' then
    if old_key then take_out(old_key, old_member, removal) end
    return settle(item, '')
  end
  local new_place, why = put(item, old_key, old_member)
  if not new_place then return why end
  if old_key and (old_key ~= item.key or (old_member and new_place ~= place)) then
    take_out(old_key, old_member, removal)
  end
  return settle(item, new_place)
end

for i = 1, count do answers[i + 1] = write(items[i], known[i]) end

if #changed > 0 then redis.call('HSET', versions, unpack(changed)) end
if #deleted > 0 then redis.call('ZADD', gone, unpack(deleted)) end
if fence then
  if not held[1] or tonumber(held[1]) < epoch then
    redis.call('HSET', claim, 'epoch', ARGV[1], 'process', process)
  end
elseif held[1] and highest > tonumber(held[3] or '0') then
  redis.call('HSET', claim, 'published', string.format('%.0f', highest))
end

-- More than come: so it stays as small as what was deleted lately.
local forget = redis.call('ZRANGEBYSCORE', gone, '-inf', string.format('%.0f', now - keep), 'LIMIT', 0, 2 * count + 8)
if #forget > 0 then
  local entries = redis.call('HMGET', versions, unpack(forget))
  for i, text in ipairs(forget) do
    if entries[i] and not string.find(entries[i], '%D') then redis.call('HDEL', versions, text) end
  end
  redis.call('ZREM', gone, unpack(forget))
end
return answers
