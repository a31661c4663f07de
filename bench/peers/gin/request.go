package main

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin/codec/json"
)

const (
	millisecondsFrom = 100_000_000_000 // from here on a number is milliseconds
	earliestMs       = 946_684_800_000 // 2000-01-01
	mostAheadMs      = 600_000
	maxPath          = 2_048
	maxUTM           = 200
)

// TrackRequest is one event as a sender writes it.
type TrackRequest struct {
	PageURL   string         `json:"page_url" binding:"required,max=4096"`
	UserID    UserID         `json:"user_id"`
	Timestamp Timestamp      `json:"timestamp"`
	Site      string         `json:"site" binding:"required,max=100"`
	EventID   string         `json:"event_id" binding:"max=128"`
	Name      string         `json:"name" binding:"max=100"`
	Title     string         `json:"title" binding:"max=1000"`
	Referrer  string         `json:"referrer" binding:"max=4096"`
	Screen    string         `json:"screen" binding:"max=20"`
	Language  string         `json:"language" binding:"max=35"`
	Props     map[string]any `json:"props" binding:"max=30"`
}

// TrackBatch holds its events undecoded: one that is wrong spoils no other.
type TrackBatch struct {
	Events []RawEvent `json:"events" binding:"required,min=1,max=1000"`
}

// RawEvent is the JSON of one event.
type RawEvent []byte

func (r *RawEvent) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// UserID is a text or a whole number, kept as a text.
type UserID string

func (u *UserID) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		var text string
		if err := json.API.Unmarshal(data, &text); err != nil {
			return err
		}
		if len(text) == 0 || len(text) > 256 {
			return fmt.Errorf("user_id has %d characters, 1 to 256 are allowed", len(text))
		}
		*u = UserID(text)
		return nil
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if _, err := strconv.ParseInt(string(data), 10, 64); err != nil {
		return fmt.Errorf("user_id is %s: a text or a whole number is expected", data)
	}
	*u = UserID(data)
	return nil
}

// Timestamp is Unix seconds, Unix milliseconds or ISO 8601, kept as milliseconds; 0: none.
type Timestamp int64

func (t *Timestamp) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if data[0] == '"' {
		moment, err := time.Parse(time.RFC3339, strings.Trim(string(data), `"`))
		if err != nil {
			return err
		}
		*t = Timestamp(moment.UnixMilli())
		return nil
	}
	number, err := strconv.ParseFloat(string(data), 64)
	if err != nil {
		return err
	}
	if number < millisecondsFrom {
		number *= 1_000
	}
	*t = Timestamp(number)
	return nil
}

// At gives the event's time, checked against the moment at which it arrived.
func (t Timestamp) At(received int64) (int64, error) {
	switch {
	case t == 0:
		return received, nil
	case int64(t) > received+mostAheadMs:
		return 0, Refusal{"timestamp", "lies more than ten minutes in the future"}
	case t < earliestMs:
		return 0, Refusal{"timestamp", "lies before 2000-01-01"}
	}
	return int64(t), nil
}

// PageURL is what of a page's address is kept.
type PageURL struct {
	Hostname, Path string
	Campaign       Campaign
}

// Campaign holds the five utm_ parameters.
type Campaign struct {
	Source   string `json:"utm_source,omitempty"`
	Medium   string `json:"utm_medium,omitempty"`
	Campaign string `json:"utm_campaign,omitempty"`
	Term     string `json:"utm_term,omitempty"`
	Content  string `json:"utm_content,omitempty"`
}

// ReadPageURL refuses what is neither an http(s) address nor a path.
func ReadPageURL(text string) (PageURL, error) {
	address, err := url.Parse(text)
	if err != nil {
		return PageURL{}, Refusal{"page_url", err.Error()}
	}
	web := address.Scheme == "http" || address.Scheme == "https"
	if !strings.HasPrefix(text, "/") && (!web || address.Hostname() == "") {
		return PageURL{}, Refusal{"page_url", "must begin with /, http:// or https://"}
	}
	path := address.EscapedPath()
	if path == "" {
		path = "/"
	}
	if len(path) > maxPath {
		return PageURL{}, Refusal{"page_url", "the path is too long"}
	}
	return PageURL{address.Hostname(), path, readCampaign(address)}, nil
}

func readCampaign(address *url.URL) Campaign {
	if address.RawQuery == "" {
		return Campaign{}
	}
	query := address.Query()
	value := func(name string) string {
		text := query.Get(name)
		return text[:min(len(text), maxUTM)]
	}
	source := value("utm_source")
	if source == "" {
		source = value("ref")
	}
	return Campaign{
		Source: source, Medium: value("utm_medium"), Campaign: value("utm_campaign"),
		Term: value("utm_term"), Content: value("utm_content"),
	}
}

func checkProps(props map[string]any) error {
	for name, value := range props {
		switch v := value.(type) {
		case string:
			if len(v) > 500 {
				return Refusal{"props", name + " is too long"}
			}
		case float64, bool, nil:
		default:
			return Refusal{"props", name + " is neither text, number, true nor false"}
		}
	}
	return nil
}
