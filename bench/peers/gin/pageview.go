package main

import (
	"encoding/hex"
	"hash"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/blake2b"
)

// PageView is the message: what travels in Kafka.
type PageView struct {
	ID        string `json:"id"`
	Site      string `json:"site"`
	Visitor   string `json:"visitor"`
	Path      string `json:"path"`
	TS        int64  `json:"ts"`
	Received  int64  `json:"received"`
	Name      string `json:"name,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
	Hostname  string `json:"hostname,omitempty"`
	Title     string `json:"title,omitempty"`
	Referrer  string `json:"referrer,omitempty"`
	Campaign
	Screen   string         `json:"screen,omitempty"`
	Language string         `json:"language,omitempty"`
	Props    map[string]any `json:"props,omitempty"`
}

// Accept makes the message of one event, or refuses it.
func (d *Door) Accept(request *TrackRequest, address, agent string) (*PageView, error) {
	if !d.sites[request.Site] {
		return nil, Refusal{"site", "this site is not tracked here"}
	}
	received := time.Now().UnixMilli()
	ts, err := request.Timestamp.At(received)
	if err != nil {
		return nil, err
	}
	page, err := ReadPageURL(request.PageURL)
	if err != nil {
		return nil, err
	}
	if err := checkProps(request.Props); err != nil {
		return nil, err
	}
	view := &PageView{
		ID: request.EventID, Site: request.Site, Path: page.Path, TS: ts, Received: received,
		Retryable: request.EventID != "", Hostname: page.Hostname, Title: request.Title,
		Referrer: request.Referrer, Campaign: page.Campaign, Screen: request.Screen,
		Language: request.Language, Props: request.Props,
		Visitor: d.visitor(request, received, address, agent),
	}
	if request.Name != "pageview" {
		view.Name = request.Name
	}
	if view.ID == "" {
		view.ID = uuid.Must(uuid.NewV7()).String()
	}
	return view, nil
}

func (d *Door) visitor(request *TrackRequest, received int64, address, agent string) string {
	if request.UserID != "" {
		return d.visitors.Of("user", request.Site, string(request.UserID))
	}
	day := time.UnixMilli(received).UTC().Format(time.DateOnly)
	return d.visitors.Of("browser", request.Site, day, address, agent)
}

// VisitorHash gives 64 bits of a keyed BLAKE2b hash, as 16 hexadecimal digits.
type VisitorHash struct{ hashes sync.Pool }

func NewVisitorHash(secret string) *VisitorHash {
	key := blake2b.Sum256([]byte(secret))
	return &VisitorHash{sync.Pool{New: func() any {
		made, err := blake2b.New(8, key[:])
		if err != nil {
			panic(err) // a size or key of the wrong length, which these are not
		}
		return made
	}}}
}

func (v *VisitorHash) Of(parts ...string) string {
	digest := v.hashes.Get().(hash.Hash)
	defer v.hashes.Put(digest)
	digest.Reset()
	for n, part := range parts {
		if n > 0 {
			digest.Write([]byte{0})
		}
		digest.Write([]byte(part))
	}
	var sum [8]byte
	return hex.EncodeToString(digest.Sum(sum[:0]))
}
