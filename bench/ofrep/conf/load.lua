-- What wrk sends: the context of one user, again and again. With BENCH_KNOWN the
-- client says which answer it knows. What came of it is one line of JSON.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json; charset=utf-8"
wrk.headers["User-Agent"] = "bench/1.0"
wrk.body = os.getenv("BENCH_BODY")
if os.getenv("BENCH_KNOWN") ~= "" then
  wrk.headers["If-None-Match"] = os.getenv("BENCH_KNOWN")
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
