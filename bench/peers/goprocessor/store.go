package main

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Store adds counts to Redis. Page views by minute are hashes `views:<site>:<minute>`; by hour
// and day `by:<dimension>:<period>:<start>:<site>`; live minutes `live:<site>:<minute>`; visitors
// are HyperLogLogs `visitors:<period>:<start>:<site>`, and of a page with `:<path>` behind it;
// `counted` is how many events are in them.
type Store struct{ client *redis.Client }

// Add sends everything in one round trip.
func (s *Store) Add(ctx context.Context, counts *Counts) error {
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for b, pages := range counts.pages {
			add(ctx, pipe, "views"+minuteOf(b), pages, b.expiry())
		}
		for b, views := range counts.live {
			add(ctx, pipe, "live"+minuteOf(b), views, b.expiry())
		}
		for b, t := range counts.totals {
			addTally(ctx, pipe, b, t)
		}
		for b, visitors := range counts.seen {
			see(ctx, pipe, "visitors"+placeOf(b), visitors, b.expiry())
		}
		for b, pages := range counts.seenOn {
			place := placeOf(b)
			for path, visitors := range pages {
				see(ctx, pipe, "visitors"+place+":"+path, visitors, b.expiry())
			}
		}
		pipe.IncrBy(ctx, "counted", counts.Events)
		return nil
	})
	return err
}

func addTally(ctx context.Context, pipe redis.Pipeliner, b bucket, t *tally) {
	place := placeOf(b)
	for n, values := range t.dimensions {
		add(ctx, pipe, "by:"+Dimensions[n].Name+place, values, b.expiry())
	}
	see(ctx, pipe, "visitors"+place, t.visitors, b.expiry())
}

func minuteOf(b bucket) string {
	return ":" + b.site + ":" + strconv.FormatInt(b.start/b.period.length, 10)
}

func placeOf(b bucket) string {
	return ":" + b.period.name + ":" + strconv.FormatInt(b.start, 10) + ":" + b.site
}

func see(ctx context.Context, pipe redis.Pipeliner, key string, seen set, at time.Time) {
	visitors := make([]any, 0, len(seen))
	for visitor := range seen {
		visitors = append(visitors, visitor)
	}
	pipe.PFAdd(ctx, key, visitors...)
	expire(ctx, pipe, key, at)
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
