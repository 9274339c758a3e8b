package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Check reports whether the store can do its work, for a health check: a master
// answers and takes writes. Of a Cluster every master has to answer. It does not
// wait for one that may come back. Errors: those of the client and of ctx.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.eachMaster(ctx, func(ctx context.Context, server redis.UniversalClient) error { return server.Ping(ctx).Err() })
	if err == nil {
		_, err = s.once(ctx, s.scripts.check, s.probe, nil)
	}
	if err != nil {
		return fmt.Errorf("redisstore: check: %w", err)
	}
	return nil
}

// eachMaster calls f for every server that has a part of the keys: of a Cluster
// from several goroutines.
func (s *Store) eachMaster(ctx context.Context, f func(context.Context, redis.UniversalClient) error) error {
	if c, ok := s.client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return f(ctx, node) })
	}
	return f(ctx, s.client)
}

// Warnings returns what about the server's settings may lose deliveries, as
// sentences for whoever starts a service: that it evicts keys, that it does not
// keep them across a restart, or that it does not tell. Errors: those of the
// client and of ctx, when the server cannot be asked at all.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var mu sync.Mutex
	var found []string
	err := s.eachMaster(ctx, func(ctx context.Context, server redis.UniversalClient) error {
		if err := server.Ping(ctx).Err(); err != nil {
			return err // so that what is refused below is that question alone
		}
		is, err := askSettings(ctx, server)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, is.warnings()...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: warnings: %w", err)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// settings are those of one server; nil is one that it does not tell.
type settings struct{ policy, appends, saves *string }

// askSettings asks for the settings, and where that is forbidden for what the
// server tells of itself.
func askSettings(ctx context.Context, server redis.UniversalClient) (settings, error) {
	var is settings
	for name, to := range map[string]**string{"maxmemory-policy": &is.policy, "appendonly": &is.appends, "save": &is.saves} {
		values, err := server.ConfigGet(ctx, name).Result()
		if refused(err) {
			continue
		}
		if err != nil {
			return settings{}, err
		}
		if v, ok := values[name]; ok {
			*to = &v
		}
	}
	if is.policy != nil && is.appends != nil {
		return is, nil
	}
	info, err := server.Info(ctx).Result()
	if err != nil && !refused(err) {
		return settings{}, err
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "maxmemory_policy" && is.policy == nil:
			is.policy = &value
		case name == "aof_enabled" && is.appends == nil:
			appends := "no"
			if value == "1" {
				appends = "yes"
			}
			is.appends = &appends
		}
	}
	return is, nil
}

// refused reports whether the server answered that it will not tell: the user has
// no right to ask, or the command is not there.
func refused(err error) bool {
	said := redis.Error(nil)
	return errors.As(err, &said) && !mayPass(err)
}

func (is settings) warnings() []string {
	var found []string
	switch {
	case is.policy == nil:
		found = append(found, "Redis does not tell its maxmemory-policy: with any other than noeviction it may forget deliveries, which are then handled again")
	case *is.policy != "noeviction":
		found = append(found, "Redis has the maxmemory-policy "+*is.policy+": when its memory is full it forgets deliveries, which are then handled again; noeviction is needed")
	}
	switch {
	case is.appends != nil && *is.appends == "yes":
	case is.appends == nil, is.saves == nil:
		found = append(found, "Redis does not tell whether it keeps its data: without appendonly a restart forgets deliveries, which are then handled again")
	case *is.saves == "":
		found = append(found, "Redis keeps nothing across a restart: deliveries of before are then handled again; appendonly yes is needed")
	default:
		found = append(found, "Redis keeps snapshots only: after a crash the deliveries since the last one are handled again; appendonly yes is needed")
	}
	return found
}
