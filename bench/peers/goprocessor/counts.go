package main

import (
	"fmt"
	"time"
)

// A period that page views are counted by, and how long its numbers are kept after its end.
type period struct {
	name   string
	length int64 // seconds
	kept   int64 // seconds
}

var (
	minute  = period{"minute", 60, 48 * 3_600}
	live    = period{"live", 60, 2_700} // by arrival
	hour    = period{"hour", 3_600, 90 * 86_400}
	day     = period{"day", 86_400, 0} // for ever
	coarser = []period{hour, day}
)

// Fields of the seconds of a live minute.
var seconds = func() (fields [60]string) {
	for n := range fields {
		fields[n] = fmt.Sprintf("@%02d", n)
	}
	return
}()

// bucket is one stretch of time of one site.
type bucket struct {
	site   string
	period *period
	start  int64 // Unix seconds
}

func (p *period) bucketOf(view *PageView) bucket {
	return p.bucketAt(view.Site, view.TS)
}

func (p *period) bucketAt(site string, ms int64) bucket {
	seconds := ms / 1_000
	return bucket{site, p, seconds - seconds%p.length}
}

// expiry is when its numbers go; the zero time: never.
func (b bucket) expiry() time.Time {
	if b.period.kept == 0 {
		return time.Time{}
	}
	return time.Unix(b.start+b.period.length+b.period.kept, 0)
}

type set map[string]struct{}

// tally holds what a batch adds to one bucket.
type tally struct {
	dimensions []map[string]int64 // as Dimensions has them
	visitors   set
}

// Counts are what a batch adds to the numbers.
type Counts struct {
	Events int64
	pages  map[bucket]map[string]int64 // by minute
	live   map[bucket]map[string]int64 // by minute of arrival: by page, and by second
	totals map[bucket]*tally           // by hour and day
	seen   map[bucket]set              // visitors by minute
	seenOn map[bucket]map[string]set   // visitors by day and page
}

// NewCounts returns counts with nothing in them.
func NewCounts() *Counts {
	return &Counts{
		pages:  map[bucket]map[string]int64{},
		live:   map[bucket]map[string]int64{},
		totals: map[bucket]*tally{},
		seen:   map[bucket]set{},
		seenOn: map[bucket]map[string]set{},
	}
}

// AddPage counts the view's page by minute.
func (c *Counts) AddPage(view *PageView) {
	entry(c.pages, minute.bucketOf(view), newCounts)[view.Path]++
}

// AddLive counts the view's page, and its second, by minute of arrival, if Redis would keep that.
func (c *Counts) AddLive(view *PageView, now time.Time) {
	b := live.bucketAt(view.Site, view.Received)
	if b.expiry().Before(now) {
		return
	}
	counts := entry(c.live, b, newCounts)
	counts[view.Path]++
	counts[seconds[view.Received/1_000%60]]++
}

// AddVisitor notes the visitor by minute, and by day and page.
func (c *Counts) AddVisitor(view *PageView) {
	entry(c.seen, minute.bucketOf(view), newSet)[view.Visitor] = struct{}{}
	pages := entry(c.seenOn, day.bucketOf(view), func() map[string]set { return map[string]set{} })
	entry(pages, view.Path, newSet)[view.Visitor] = struct{}{}
}

// AddDimensions counts every dimension, and the visitor, by hour and day.
func (c *Counts) AddDimensions(view *PageView) {
	for i := range coarser {
		t := entry(c.totals, coarser[i].bucketOf(view), newTally)
		for n := range Dimensions {
			if value := Dimensions[n].Of(view); value != "" {
				t.dimensions[n][value]++
			}
		}
		t.visitors[view.Visitor] = struct{}{}
	}
}

func newCounts() map[string]int64 { return map[string]int64{} }

func newSet() set { return set{} }

func newTally() *tally {
	t := &tally{make([]map[string]int64, len(Dimensions)), set{}}
	for n := range t.dimensions {
		t.dimensions[n] = newCounts()
	}
	return t
}

// entry of a map, made where there is none.
func entry[K comparable, V any](entries map[K]V, key K, make func() V) V {
	found, there := entries[key]
	if !there {
		found = make()
		entries[key] = found
	}
	return found
}
