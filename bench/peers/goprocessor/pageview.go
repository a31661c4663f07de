package main

import "github.com/bytedance/sonic"

// PageView is what of a message is counted by.
type PageView struct {
	Site           string `json:"site"`
	Visitor        string `json:"visitor"`
	Path           string `json:"path"`
	TS             int64  `json:"ts"`
	Received       int64  `json:"received"`
	Name           string `json:"name"`
	Bot            string `json:"bot"`
	Hostname       string `json:"hostname"`
	Referrer       string `json:"referrer"`
	Source         string `json:"source"`
	Channel        string `json:"channel"`
	UTMSource      string `json:"utm_source"`
	UTMMedium      string `json:"utm_medium"`
	UTMCampaign    string `json:"utm_campaign"`
	UTMTerm        string `json:"utm_term"`
	UTMContent     string `json:"utm_content"`
	Country        string `json:"country"`
	Region         string `json:"region"`
	Browser        string `json:"browser"`
	BrowserVersion string `json:"browser_version"`
	OS             string `json:"os"`
	OSVersion      string `json:"os_version"`
	Device         string `json:"device"`
	Screen         string `json:"screen"`
	ScreenClass    string `json:"screen_class"`
	Language       string `json:"language"`
	TimeZone       string `json:"time_zone"`
}

// Decode reads a message.
func (v *PageView) Decode(message []byte) error {
	*v = PageView{}
	return sonic.ConfigFastest.Unmarshal(message, v)
}

// Counts tells whether the event is a page view of a person.
func (v *PageView) Counts() bool {
	return v.Bot == "" && (v.Name == "" || v.Name == "pageview")
}

// Dimension is one of the things that page views are counted by.
type Dimension struct {
	Name string
	Of   func(*PageView) string
}

// Dimensions are counted by hour and by day.
var Dimensions = []Dimension{
	{"page", func(v *PageView) string { return v.Path }},
	{"hostname", func(v *PageView) string { return v.Hostname }},
	{"referrer", func(v *PageView) string { return v.Referrer }},
	{"source", func(v *PageView) string { return v.Source }},
	{"channel", func(v *PageView) string { return v.Channel }},
	{"utm_source", func(v *PageView) string { return v.UTMSource }},
	{"utm_medium", func(v *PageView) string { return v.UTMMedium }},
	{"utm_campaign", func(v *PageView) string { return v.UTMCampaign }},
	{"utm_term", func(v *PageView) string { return v.UTMTerm }},
	{"utm_content", func(v *PageView) string { return v.UTMContent }},
	{"country", func(v *PageView) string { return v.Country }},
	{"region", func(v *PageView) string { return v.Region }},
	{"browser", func(v *PageView) string { return v.Browser }},
	{"browser_version", func(v *PageView) string { return version(v.Browser, v.BrowserVersion) }},
	{"os", func(v *PageView) string { return v.OS }},
	{"os_version", func(v *PageView) string { return version(v.OS, v.OSVersion) }},
	{"device", func(v *PageView) string { return v.Device }},
	{"screen", func(v *PageView) string { return v.Screen }},
	{"screen_class", func(v *PageView) string { return v.ScreenClass }},
	{"language", func(v *PageView) string { return v.Language }},
	{"time_zone", func(v *PageView) string { return v.TimeZone }},
}

// version of a program, which means something beside its name only.
func version(of, number string) string {
	if of == "" || number == "" {
		return ""
	}
	return of + " " + number
}
