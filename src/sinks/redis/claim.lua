-- Puts a claim in the place of the one that is expected, if that is what is there ("" for none).
--
-- KEYS: 1 the claim.  ARGV: what is expected, what to put, its epoch, its process, what was published as it knows
local there = redis.call('HGET', KEYS[1], 'claim') or ''
if there ~= ARGV[1] then return 0 end
local published = redis.call('HGET', KEYS[1], 'published')
if not published or tonumber(published) < tonumber(ARGV[5]) then published = ARGV[5] end
redis.call('HSET', KEYS[1], 'claim', ARGV[2], 'epoch', ARGV[3], 'process', ARGV[4], 'published', published)
return 1
