-- Apply what was read at once changes in one shard, or nothing of it.
--
-- KEYS: marker, ledger, clock, steps, hold, then every key that ARGV[1] names by number.
-- ARGV[1]: msgpack map:
--   ranges   {{partition, expected, next, clock, {category, n, …}, duplicates' key, {{first, last}, …}}, …}:
--            each marker must be `expected` and becomes `next`; `clock`: arrival (ms) up to which the
--            partition was read; offsets of its duplicates in the order of the log
--   absent   {{key, {id, …}}, …} ids that must not be there yet
--   ids      {{key, end of step (ms), {id, …}}, …}
--   most     values of a dimension that a bucket keeps
--   buckets  {{{key, expire at (Unix s; 0: never), …}, {field, …}, {n, …}}, …}: the same is added
--            to several keys, which are kept bounded
--   hashes   {{key, expire at, {field, n, …}}, …}
--   visitors {{{key, expire at, …}, {visitor, …}}, …}
--   pages    {{bucket, expire at, {page, …}, {{visitor, …}, …}}, …}: the visitors of those pages
--            that are kept in the bucket
--   visits   {{key, may be dropped at (ms), {visitor, …}, {was, …}, {is, …}}, …}; "": none
--   now      {{pages, sources, countries, sorted set, forget before (ms),
--              {visitor, …}, {arrival, …}, {path, …}, {source and referrer, …}, {country, …}}, …}
--   feed     {{key, {arrival, event, …}}, …}
--   states   {{key, last arrival, last ts}, …}
-- Returns {"applied"}, {"moved", partition, the marker found} or {"known", key}: an id that the
-- caller took for new is there by now, or a visit went on, so the caller looks again; or {"held"}:
-- the numbers are being swapped, so the caller tries again in a moment.
local b = cmsgpack.unpack(ARGV[1])
for _, range in ipairs(b.ranges) do
  local found = tonumber(redis.call('HGET', KEYS[1], range[1]) or '0')
  if found ~= range[2] then return {'moved', range[1], found} end
end
if redis.call('EXISTS', KEYS[5]) == 1 then return {'held'} end

local CHUNK = 2000
local function in_chunks(list, call)
  for i = 1, #list, CHUNK do call(i, math.min(i + CHUNK - 1, #list)) end
end

for _, check in ipairs(b.absent) do
  local key, there = KEYS[check[1]], false
  -- The step to come hardly ever has begun: nothing has to be looked for in it.
  if redis.call('EXISTS', key) == 1 then
    in_chunks(check[2], function(i, j)
      for _, found_one in ipairs(redis.call('SMISMEMBER', key, unpack(check[2], i, j))) do
        if found_one == 1 then there = true end
      end
    end)
  end
  if there then return {'known', key} end
end

for _, looked in ipairs(b.visits) do
  local key, visitors, was = KEYS[looked[1]], looked[3], looked[4]
  local changed = false
  in_chunks(visitors, function(i, j)
    for k, found_one in ipairs(redis.call('HMGET', key, unpack(visitors, i, j))) do
      if (found_one or '') ~= was[i + k - 1] then changed = true end
    end
  end)
  if changed then return {'known', key} end
end

-- Most often it is so already, and to ask takes less than to say so again.
local function expire(key, at)
  if at > 0 and redis.call('EXPIRETIME', key) ~= at then redis.call('EXPIREAT', key, at) end
end

-- Fields that are no value of a dimension (processing/dimensions.py): totals, seconds, all other
-- values, the most that a value may have missed, what one has, by the character they begin with.
local NO_VALUE = {['*'] = true, ['@'] = true, ['~'] = true, ['^'] = true, ['!'] = true}

-- Numbers are handed to Redis as they are: it writes a whole number without a point or an exponent,
-- in half the time of string.format.

-- Many fields at once, as one call takes longer than what it does to a field.
local function set(key, pairs_)
  in_chunks(pairs_, function(i, j) redis.call('HSET', key, unpack(pairs_, i, j)) end)
end

-- What a field of a full bucket may have had before it was kept: nothing where it is no value.
local function missed_by(key)
  local of_kind = {}
  return function(field)
    local kind = field:sub(1, 1)
    if NO_VALUE[kind] then return false end
    if of_kind[kind] == nil then of_kind[kind] = redis.call('HGET', key, '^' .. kind) end
    return of_kind[kind]
  end
end

-- Redis keeps a hash of up to 512 short fields as a list, in which it looks for each field from the
-- beginning. A field that is not short makes it a table, though it goes again: large batches take 8%
-- less time, and minutes 30% more memory. Returns whether that field has to go.
local LIST, MANY, NOT_SHORT = 64, 16, string.rep('-', 65)
local function make_table(key, fields)
  if #fields < MANY then return false end
  local length = redis.call('HLEN', key)
  if length > 512 or length + #fields <= LIST then return false end
  redis.call('HSET', key, NOT_SHORT, 0)
  return true
end

-- Add to a bucket. What is taken away from a value that was dropped goes off all others.
local function count(key, fields, changes)
  local is_full = redis.call('HEXISTS', key, '^') == 1
  local has_long = make_table(key, fields)
  local changed, last, others, missed = {}, 0, {}, is_full and missed_by(key)
  in_chunks(fields, function(i, j)
    for k, before in ipairs(redis.call('HMGET', key, unpack(fields, i, j))) do
      local field, n = fields[i + k - 1], changes[i + k - 1]
      local now = n + (before or 0)
      if n < 0 and now <= 0 and not NO_VALUE[field:sub(1, 1)] then
        redis.call('HDEL', key, field, '!' .. field)
        if now < 0 then
          local other = '~' .. field:sub(1, 1)
          others[other] = (others[other] or 0) + now
        end
      else
        changed[last + 1], changed[last + 2] = field, now
        last = last + 2
        local may_have_had = is_full and not before and missed(field)
        if may_have_had then
          changed[last + 1], changed[last + 2] = '!' .. field, may_have_had
          last = last + 2
        end
      end
    end
  end)
  set(key, changed)
  if has_long then redis.call('HDEL', key, NOT_SHORT) end
  for other, n in pairs(others) do redis.call('HINCRBY', key, other, n) end
end

-- What of a bucket is a value: by kind the fields, by field the most it may have had.
local function ranks_of(all)
  local ranks, kinds = {}, {}
  for i = 1, #all, 2 do
    local field, kind = all[i], all[i]:sub(1, 1)
    if kind == '!' then
      field = field:sub(2)
    elseif not NO_VALUE[kind] then
      kinds[kind] = kinds[kind] or {}
      table.insert(kinds[kind], field)
    end
    ranks[field] = (ranks[field] or 0) + tonumber(all[i + 1])
  end
  return kinds, ranks
end

-- The `b.most` highest ranks stay; returns the fields that go and the highest of their ranks.
-- Numbers alone are sorted: a function that compares fields takes five times as long.
local function lowest(fields, ranks)
  local sorted, lower, equal = {}, {}, {}
  for i, field in ipairs(fields) do sorted[i] = ranks[field] end
  table.sort(sorted)
  local excess = #fields - b.most
  local least_kept, most_dropped = sorted[excess + 1], sorted[excess]
  for _, field in ipairs(fields) do
    if ranks[field] < least_kept then
      lower[#lower + 1] = field
    elseif ranks[field] == least_kept then
      equal[#equal + 1] = field
    end
  end
  for i = 1, excess - #lower do lower[#lower + 1] = equal[i] end
  return lower, most_dropped
end

-- Keep the `b.most` values of each dimension that may be the most frequent ones (SPEC.md §20).
local function prune(key)
  local kinds, ranks = ranks_of(redis.call('HGETALL', key))
  for kind, fields in pairs(kinds) do
    if #fields > b.most then
      local dropped, most = lowest(fields, ranks)
      local others, marks = 0, {}
      for i, field in ipairs(dropped) do marks[i] = '!' .. field end
      in_chunks(dropped, function(i, j)
        for _, n in ipairs(redis.call('HMGET', key, unpack(dropped, i, j))) do
          others = others + tonumber(n)
        end
        redis.call('HDEL', key, unpack(dropped, i, j))
        redis.call('HDEL', key, unpack(marks, i, j))
      end)
      redis.call('HINCRBY', key, '~' .. kind, others)
      local missed = tonumber(redis.call('HGET', key, '^' .. kind) or '0')
      redis.call('HSET', key, '^' .. kind, math.max(most, missed))
      if kind == '/' and key:match(':d:%d+$') then
        -- Named by their bucket, so they lie in the same slot.
        for _, page in ipairs(dropped) do redis.call('UNLINK', key .. ':v:' .. page) end
      end
    end
  end
  redis.call('HSET', key, '^', redis.call('HLEN', key) + b.most)
end

for _, step in ipairs(b.ids) do
  in_chunks(step[3], function(i, j) redis.call('SADD', KEYS[step[1]], unpack(step[3], i, j)) end)
  redis.call('ZADD', KEYS[4], step[2], KEYS[step[1]])
end
local remembered = {}
for _, step in ipairs(b.visits) do
  local key, visitors, was, is = KEYS[step[1]], step[3], step[4], step[5]
  local go_on, last = {}, 0
  for i, visitor in ipairs(visitors) do
    if is[i] == '' then
      redis.call('HDEL', key, visitor)
    elseif is[i] ~= was[i] then
      go_on[last + 1], go_on[last + 2] = visitor, is[i]
      last = last + 2
    end
  end
  set(key, go_on)
  if last > 0 then remembered[key] = step[2] end
end
for key, may_go in pairs(remembered) do redis.call('ZADD', KEYS[4], may_go, key) end
for _, bucket in ipairs(b.buckets) do
  local names = bucket[1]
  for i = 1, #names, 2 do
    local key = KEYS[names[i]]
    count(key, bucket[2], bucket[3])
    if redis.call('HLEN', key) > tonumber(redis.call('HGET', key, '^') or b.most) then prune(key) end
    expire(key, names[i + 1])
  end
end
for _, hash in ipairs(b.hashes) do
  local key, changes = KEYS[hash[1]], hash[3]
  for i = 1, #changes, 2 do redis.call('HINCRBY', key, changes[i], changes[i + 1]) end
  expire(key, hash[2])
end
local function see(key, expires_at, visitors)
  in_chunks(visitors, function(i, j) redis.call('PFADD', key, unpack(visitors, i, j)) end)
  expire(key, expires_at)
end
for _, log in ipairs(b.visitors) do
  local names = log[1]
  for i = 1, #names, 2 do see(KEYS[names[i]], names[i + 1], log[2]) end
end
for _, of_day in ipairs(b.pages) do
  local bucket, expires_at, pages, visitors = KEYS[of_day[1]], of_day[2], of_day[3], of_day[4]
  local is_full = redis.call('HEXISTS', bucket, '^') == 1
  in_chunks(pages, function(i, j)
    local kept = is_full and redis.call('HMGET', bucket, unpack(pages, i, j))
    for n = i, j do
      -- Named by their bucket, so they lie in the same slot.
      if not kept or kept[n - i + 1] then see(bucket .. ':v:' .. pages[n], expires_at, visitors[n]) end
    end
  end)
end
for _, now in ipairs(b.now) do
  local hashes, seen, before = {KEYS[now[1]], KEYS[now[2]], KEYS[now[3]]}, KEYS[now[4]], now[5]
  local visitors, arrivals, values = now[6], now[7], {now[8], now[9], now[10]}
  -- First of all, so that who comes back after that is new, however soon others come.
  local gone = redis.call('ZRANGE', seen, '-inf', '(' .. string.format('%.0f', before), 'BYSCORE')
  in_chunks(gone, function(i, j)
    redis.call('ZREM', seen, unpack(gone, i, j))
    for _, hash in ipairs(hashes) do redis.call('HDEL', hash, unpack(gone, i, j)) end
  end)
  local newest, changed = {}, {{}, {}, {}}
  in_chunks(visitors, function(i, j)
    for k, last in ipairs(redis.call('ZMSCORE', seen, unpack(visitors, i, j))) do
      local n = i + k - 1
      if arrivals[n] >= tonumber(last or '0') then
        newest[#newest + 1], newest[#newest + 2] = arrivals[n], visitors[n]
        for h, list in ipairs(changed) do
          -- Who goes on to the next page keeps where he came from.
          if values[h][n] ~= '' then list[#list + 1], list[#list + 2] = visitors[n], values[h][n] end
        end
      end
    end
  end)
  in_chunks(newest, function(i, j) redis.call('ZADD', seen, unpack(newest, i, j)) end)
  for h, hash in ipairs(hashes) do set(hash, changed[h]) end
  for _, key in ipairs({seen, unpack(hashes)}) do redis.call('EXPIRE', key, 600) end
end
for _, feed in ipairs(b.feed) do
  local key = KEYS[feed[1]]
  in_chunks(feed[2], function(i, j) redis.call('ZADD', key, unpack(feed[2], i, j)) end)
  redis.call('ZREMRANGEBYRANK', key, 0, -51)
  redis.call('EXPIRE', key, 86400)
end
for _, state in ipairs(b.states) do
  local key = KEYS[state[1]]
  redis.call('HINCRBY', key, 'revision', 1)
  for i, name in ipairs({'last_received', 'last_ts'}) do
    if state[i + 1] > tonumber(redis.call('HGET', key, name) or '0') then
      redis.call('HSET', key, name, string.format('%.0f', state[i + 1]))
    end
  end
end
local function note_duplicates(key, runs)
  for n, run in ipairs(runs) do
    local first, last = run[1], run[2]
    local before = n == 1 and redis.call('ZRANGE', key, -1, -1)[1]
    if before and tonumber(before:match('-(%d+)')) == first - 1 then
      redis.call('ZREM', key, before)
      first = tonumber(before:match('%d+'))
    end
    redis.call('ZADD', key, last, string.format('%.0f-%.0f', first, last))
  end
end
for _, done in ipairs(b.ranges) do
  local partition, clock, ledger = done[1], done[4], done[5]
  note_duplicates(KEYS[done[6]], done[7])
  for i = 1, #ledger, 2 do
    redis.call('HINCRBY', KEYS[2], partition .. ':' .. ledger[i], ledger[i + 1])
  end
  if clock > tonumber(redis.call('HGET', KEYS[3], partition) or '0') then
    redis.call('HSET', KEYS[3], partition, string.format('%.0f', clock))
  end
  redis.call('HSET', KEYS[1], partition, string.format('%.0f', done[3]))
end
return {'applied'}
