package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	"github.com/gin-gonic/gin/codec/json"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Refusal says which field is wrong, and why.
type Refusal struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

func (r Refusal) Error() string { return r.Field + ": " + r.Reason }

// Accepted is the answer to one event.
type Accepted struct {
	Status  string `json:"status"`
	ID      string `json:"id"`
	Receipt string `json:"receipt,omitempty"`
}

// BatchAnswer is the answer to many.
type BatchAnswer struct {
	Accepted int   `json:"accepted"`
	Refused  int   `json:"refused"`
	Results  []any `json:"results"`
}

// Door answers the two endpoints. With acknowledge it answers once Kafka has the event, else
// at once, with no receipt.
type Door struct {
	client      *kgo.Client
	sites       map[string]bool
	visitors    *VisitorHash
	acknowledge bool
}

// Track answers POST /api/v1/track.
func (d *Door) Track(c *gin.Context) {
	var request TrackRequest
	if err := c.ShouldBindJSON(&request); err != nil {
		refuse(c, err)
		return
	}
	view, err := d.Accept(&request, c.ClientIP(), c.Request.UserAgent())
	if err != nil {
		refuse(c, err)
		return
	}
	record, err := message(view)
	if err != nil {
		refuse(c, err)
		return
	}
	if !d.acknowledge {
		d.client.TryProduce(context.Background(), record, nil)
		c.JSON(http.StatusAccepted, Accepted{Status: "accepted", ID: view.ID})
		return
	}
	if err := d.client.ProduceSync(c.Request.Context(), record).FirstErr(); err != nil {
		unavailable(c, err)
		return
	}
	c.JSON(http.StatusAccepted, accepted(view.ID, record))
}

// TrackBatch answers POST /api/v1/track/batch.
func (d *Door) TrackBatch(c *gin.Context) {
	var batch TrackBatch
	if err := c.ShouldBindJSON(&batch); err != nil {
		refuse(c, err)
		return
	}
	records := make([]*kgo.Record, 0, len(batch.Events))
	answer := BatchAnswer{Results: make([]any, len(batch.Events))}
	places := make([]int, 0, len(batch.Events))
	ids := make([]string, 0, len(batch.Events))
	for n, raw := range batch.Events {
		view, err := d.readEvent(raw, c)
		if err != nil {
			answer.Results[n] = gin.H{"status": "refused", "error": asRefusal(err)}
			answer.Refused++
			continue
		}
		record, err := message(view)
		if err != nil {
			refuse(c, err)
			return
		}
		records, places, ids = append(records, record), append(places, n), append(ids, view.ID)
	}
	if d.acknowledge {
		if err := d.client.ProduceSync(c.Request.Context(), records...).FirstErr(); err != nil {
			unavailable(c, err)
			return
		}
	} else {
		for _, record := range records {
			d.client.TryProduce(context.Background(), record, nil)
		}
	}
	for n, record := range records {
		if d.acknowledge {
			answer.Results[places[n]] = accepted(ids[n], record)
		} else {
			answer.Results[places[n]] = Accepted{Status: "accepted", ID: ids[n]}
		}
	}
	answer.Accepted = len(records)
	c.JSON(http.StatusAccepted, answer)
}

func (d *Door) readEvent(raw RawEvent, c *gin.Context) (*PageView, error) {
	var request TrackRequest
	if err := binding.JSON.BindBody(raw, &request); err != nil {
		return nil, err
	}
	return d.Accept(&request, c.ClientIP(), c.Request.UserAgent())
}

func message(view *PageView) (*kgo.Record, error) {
	value, err := json.API.Marshal(view)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Key: []byte(view.Visitor), Value: value}, nil
}

func accepted(id string, record *kgo.Record) Accepted {
	receipt := fmt.Sprintf("%d-%d", record.Partition, record.Offset)
	return Accepted{Status: "accepted", ID: id, Receipt: receipt}
}

func refuse(c *gin.Context, err error) {
	c.JSON(http.StatusBadRequest, gin.H{"error": asRefusal(err)})
}

func asRefusal(err error) Refusal {
	var refusal Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return Refusal{"body", err.Error()}
}

func unavailable(c *gin.Context, err error) {
	c.Header("Retry-After", "2")
	reason := "Kafka did not acknowledge in time: " + err.Error()
	c.JSON(http.StatusServiceUnavailable, gin.H{"error": Refusal{"", reason}})
}
