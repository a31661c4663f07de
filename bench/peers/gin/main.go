// Command gin is the peer of the benchmark `make bench-ingest`: the tracker's two track endpoints
// with the same contract, in Go with Gin and franz-go.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	linger, err := time.ParseDuration(env("LINGER", "1ms"))
	if err != nil {
		return err
	}
	client, err := newClient(linger)
	if err != nil {
		return err
	}
	defer client.Close()
	sites := make(map[string]bool)
	for _, site := range strings.Fields(os.Getenv("SITES")) {
		sites[site] = true
	}
	door := &Door{
		client:      client,
		sites:       sites,
		visitors:    NewVisitorHash(env("SECRET_KEY", "benchmark")),
		acknowledge: env("ACKNOWLEDGE", "true") == "true",
	}
	return serve(env("LISTEN", "127.0.0.1:8090"), door)
}

// newClient makes the one client of the process. What the broker is asked for is what the
// tracker asks for: all replicas, idempotence (the client's default), no compression.
func newClient(linger time.Duration) (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"), ",")...),
		kgo.DefaultProduceTopic(env("KAFKA_TOPIC", "pageviews")),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(linger),
		kgo.RecordDeliveryTimeout(5*time.Second),
		kgo.MaxBufferedRecords(20_000),
	)
}

func serve(address string, door *Door) error {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery())
	router.GET("/livez", func(c *gin.Context) { c.Status(http.StatusOK) })
	router.POST("/api/v1/track", door.Track)
	router.POST("/api/v1/track/batch", door.TrackBatch)
	server := &http.Server{Addr: address, Handler: router, ReadHeaderTimeout: 10 * time.Second}
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	go func() {
		<-stopped.Done()
		draining, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		_ = server.Shutdown(draining)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
