// Command goprocessor is a peer of the benchmark `make bench-count`: the processor that a team
// with Go would write first. It reads Kafka with franz-go, counts a batch in memory, adds the
// counts to Redis in one pipeline and then commits the offsets. A crash between the last two
// counts a batch twice: at least once.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
)

// As many as the product takes at once.
const batchEvents = 20_000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	options, err := redis.ParseURL(env("REDIS_URL", "redis://localhost:6379/0"))
	if err != nil {
		return err
	}
	store := redis.NewClient(options)
	defer store.Close()
	client, err := newClient()
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	processor := &Processor{
		client: client,
		store:  &Store{client: store},
		every:  env("DIMENSIONS", "pages") == "every",
	}
	return processor.Run(ctx)
}

func newClient() (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"), ",")...),
		kgo.ConsumeTopics(env("KAFKA_TOPIC", "pageviews")),
		kgo.ConsumerGroup(env("KAFKA_GROUP", "processor")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
}

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
