package main

import (
	"context"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Processor moves counts from Kafka to Redis. With every it counts whatever can be told of
// a page view by itself, else pages by minute only.
type Processor struct {
	client *kgo.Client
	store  *Store
	every  bool
}

// Run returns when ctx is done, or at the first error of Kafka or Redis: a supervisor starts it
// again, at the offsets committed last.
func (p *Processor) Run(ctx context.Context) error {
	for {
		fetches := p.client.PollRecords(ctx, batchEvents)
		if err := fetches.Err0(); err != nil {
			return err
		}
		if err := p.process(ctx, fetches); err != nil {
			return err
		}
		p.client.AllowRebalance()
	}
}

func (p *Processor) process(ctx context.Context, fetches kgo.Fetches) error {
	counts := p.count(fetches)
	if counts.Events == 0 {
		return nil
	}
	if err := p.store.Add(ctx, counts); err != nil {
		return err
	}
	return p.client.CommitUncommittedOffsets(ctx)
}

func (p *Processor) count(fetches kgo.Fetches) *Counts {
	counts := NewCounts()
	now := time.Now()
	var view PageView
	fetches.EachRecord(func(record *kgo.Record) {
		counts.Events++
		if err := view.Decode(record.Value); err != nil {
			log.Printf("offset %d of partition %d: %v", record.Offset, record.Partition, err)
			return
		}
		if !view.Counts() {
			return
		}
		counts.AddPage(&view)
		if p.every {
			counts.AddDimensions(&view)
			counts.AddVisitor(&view)
			counts.AddLive(&view, now)
		}
	})
	return counts
}
