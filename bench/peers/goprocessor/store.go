package main

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Store adds counts to Redis. Page views by minute are hashes `views:<site>:<minute>`; by hour
// and day `by:<dimension>:<period>:<start>:<site>`; visitors are HyperLogLogs
// `visitors:<period>:<start>:<site>`; `counted` is how many events are in them.
type Store struct{ client *redis.Client }

// Add sends everything in one round trip.
func (s *Store) Add(ctx context.Context, counts *Counts) error {
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for b, pages := range counts.pages {
			key := "views:" + b.site + ":" + strconv.FormatInt(b.start/b.period.length, 10)
			add(ctx, pipe, key, pages, b.expiry())
		}
		for b, t := range counts.totals {
			addTally(ctx, pipe, b, t)
		}
		pipe.IncrBy(ctx, "counted", counts.Events)
		return nil
	})
	return err
}

func addTally(ctx context.Context, pipe redis.Pipeliner, b bucket, t *tally) {
	place := ":" + b.period.name + ":" + strconv.FormatInt(b.start, 10) + ":" + b.site
	for n, values := range t.dimensions {
		add(ctx, pipe, "by:"+Dimensions[n].Name+place, values, b.expiry())
	}
	visitors := make([]any, 0, len(t.visitors))
	for visitor := range t.visitors {
		visitors = append(visitors, visitor)
	}
	key := "visitors" + place
	pipe.PFAdd(ctx, key, visitors...)
	expire(ctx, pipe, key, b.expiry())
}

func add(ctx context.Context, pipe redis.Pipeliner, key string, values map[string]int64, at time.Time) {
	if len(values) == 0 {
		return
	}
	for value, views := range values {
		pipe.HIncrBy(ctx, key, value, views)
	}
	expire(ctx, pipe, key, at)
}

func expire(ctx context.Context, pipe redis.Pipeliner, key string, at time.Time) {
	if !at.IsZero() {
		pipe.ExpireAt(ctx, key, at)
	}
}
