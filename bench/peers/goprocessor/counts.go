package main

import "time"

// A period that page views are counted by, and how long its numbers are kept after its end.
type period struct {
	name   string
	length int64 // seconds
	kept   int64 // seconds
}

var (
	minute  = period{"minute", 60, 48 * 3_600}
	hour    = period{"hour", 3_600, 90 * 86_400}
	day     = period{"day", 86_400, 0} // for ever
	coarser = []period{hour, day}
)

// bucket is one stretch of time of one site.
type bucket struct {
	site   string
	period *period
	start  int64 // Unix seconds
}

func (p *period) bucketOf(view *PageView) bucket {
	seconds := view.TS / 1_000
	return bucket{view.Site, p, seconds - seconds%p.length}
}

// expiry is when its numbers go; the zero time: never.
func (b bucket) expiry() time.Time {
	if b.period.kept == 0 {
		return time.Time{}
	}
	return time.Unix(b.start+b.period.length+b.period.kept, 0)
}

// tally holds what a batch adds to one bucket.
type tally struct {
	dimensions []map[string]int64 // as Dimensions has them
	visitors   map[string]struct{}
}

// Counts are what a batch adds to the numbers.
type Counts struct {
	Events int64
	pages  map[bucket]map[string]int64 // by minute
	totals map[bucket]*tally           // by hour and day
}

// NewCounts returns counts with nothing in them.
func NewCounts() *Counts {
	return &Counts{pages: map[bucket]map[string]int64{}, totals: map[bucket]*tally{}}
}

// AddPage counts the view's page by minute.
func (c *Counts) AddPage(view *PageView) {
	b := minute.bucketOf(view)
	pages := c.pages[b]
	if pages == nil {
		pages = map[string]int64{}
		c.pages[b] = pages
	}
	pages[view.Path]++
}

// AddDimensions counts every dimension, and the visitor, by hour and day.
func (c *Counts) AddDimensions(view *PageView) {
	for i := range coarser {
		t := c.tallyOf(coarser[i].bucketOf(view))
		for n := range Dimensions {
			if value := Dimensions[n].Of(view); value != "" {
				t.dimensions[n][value]++
			}
		}
		t.visitors[view.Visitor] = struct{}{}
	}
}

func (c *Counts) tallyOf(b bucket) *tally {
	t := c.totals[b]
	if t == nil {
		t = &tally{make([]map[string]int64, len(Dimensions)), map[string]struct{}{}}
		for n := range t.dimensions {
			t.dimensions[n] = map[string]int64{}
		}
		c.totals[b] = t
	}
	return t
}
