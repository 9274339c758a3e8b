-- KEYS[1] audit log; ARGV: entries to keep, lines.
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'line', ARGV[i])
end
return 1
