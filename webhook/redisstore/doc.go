// Package redisstore keeps the state of webhook deliveries in Redis, for any
// number of instances of a service.
//
//	client := redis.NewUniversalClient(&redis.UniversalOptions{
//		Addrs: []string{"redis:6379"}, ContextTimeoutEnabled: true, MaxRetries: -1,
//	})
//	store, err := redisstore.New(redisstore.Config{Client: client, Namespace: "shop"})
//	m, err := webhook.New(webhook.Config{Store: store, ...})
//
// # What is stored
//
// One string for each event, which delivery.lua describes:
//
//	handrail:webhook:{shop:stripe/evt_1}
//	delivery 3 1 0 1795188363055 604800000 901hn4k41uta 230d83…e31acb5 1 1795188333121
//
// Every key ends by itself when its retention does, so nothing has to be purged.
// One takes about 350 bytes, and the answer of a route that replays them. A key
// that holds something else is an error of each step, and is left alone.
//
// # Time
//
// Leases and retentions run on the server's clock. One that jumps ahead ends
// leases early: the event is then claimed again with a higher fence and marked as
// maybe processed. It ends retentions early, too. One that is set back makes
// leases and retentions under way as much longer.
//
// # Steps
//
// Each is one script on one key, and so happens wholly or not at all. A step that
// failed on the way, or was refused by a server that is about to serve, is sent
// again until Config.Timeout or ctx ends, so that a restart or a failover of a
// second costs no delivery. That is safe whatever became of the first try: a
// claim carries a random number that is kept with it, by which it is known again
// and answered as before; a step that settles a claim succeeds again and changes nothing.
// A Release that was lost and has been overtaken by another claim by then returns
// the error of the first try, over a Cluster perhaps ErrStaleFence; the claim was
// given back in either case.
//
// # Durability
//
// A step that has returned is as durable as the server's settings make it. With
// appendonly yes and appendfsync always nothing is lost by a crash of the server
// or of its machine; with everysec, a crash of the machine may take the last
// second or two. With snapshots alone, or nothing, a crash forgets what came after
// the last one. A maxmemory-policy other than noeviction forgets when memory is
// full. A failover to a replica forgets what had not been replicated. What is
// forgotten is absent: the event is handled again if its provider sends it again,
// its fence begins anew at 1, and nothing marks it as maybe processed.
// [Store.Warnings] tells at start-up of settings that forget.
//
// A server without memory left refuses claims of new events with OOM, and also to
// settle those that are under way; it goes on to answer duplicates.
//
// # When Redis is down
//
// Each step returns an error within Config.Timeout, and the middleware answers
// 503. After an error the step may or may not have happened. A claim that was made
// without anybody hearing of it ends with its lease.
//
// # Servers
//
// Redis 5 or later, alone, behind Sentinel or as a Cluster; 7.0 is what the tests
// run on. Scripts are sent to masters, never to a replica. A user of its own needs
//
//	~handrail:* +evalsha +eval +time +get +set +pexpireat +ping +hello +auth
//
// besides +select for a database other than 0, +cluster|slots +command for a Cluster,
// +config|get or +info for Warnings, +scan for List, and +info for a List that is to
// notice that a server has restarted between two pages.
//
// # Lists
//
// There is no index of deliveries: [Store.List] looks at every key of the servers,
// a bounded number in a call, in no order. On a server with ten million keys a list
// takes about a hundred calls.
//
// # Security
//
// Redis holds event ids, digests of bodies, and the answers of routes that replay
// them; no bodies, signatures or secrets. Whoever can write to it can make an
// event look done. Errors hold no user and no password; they may hold the address
// of a server.
package redisstore
