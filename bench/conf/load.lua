-- What wrk sends, and how it tells what came of it: one line of JSON.
-- With BENCH_CLIENTS=N requests come from N addresses in turn, as they do from
-- a load balancer; they are made before the load begins.

local headers = {
  ["User-Agent"] = "bench/1.0",
  ["Accept"] = "application/json",
  ["Accept-Encoding"] = "gzip, br",
  ["Cookie"] = "uid=user-1",
}
for name, value in pairs(headers) do wrk.headers[name] = value end

local clients = tonumber(os.getenv("BENCH_CLIENTS") or "0")
if clients > 0 then
  local threads = 0
  function setup(thread)
    thread:set("first", threads * 997) -- threads do not walk in step
    threads = threads + 1
  end

  local requests, at = {}, 0
  function init()
    for i = 1, clients do
      local n = i - 1
      wrk.headers["X-Forwarded-For"] = "198.18." .. math.floor(n / 256) .. "." .. n % 256
      wrk.headers["Cookie"] = "uid=user-" .. i
      requests[i] = wrk.format()
    end
    at = first
  end

  function request()
    at = at % clients + 1
    return requests[at]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p90":%d,"p99":%d,"max":%d,'
      .. '"refused":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    e.status, e.connect, e.read, e.write, e.timeout))
end
