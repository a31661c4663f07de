package tracker.bench;

import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/**
 * Writes totals into hashes {@code views:<site>:<minute>}, path to views, and how many events are
 * in them into {@code counted}: many in one round trip, none later than a tenth of a second.
 */
final class RedisSink implements Sink<Tuple2<Tuple3<String, Long, String>, Long>> {
  private static final long serialVersionUID = 1;

  private final String url;

  RedisSink(String url) {
    this.url = url;
  }

  @Override
  public SinkWriter<Tuple2<Tuple3<String, Long, String>, Long>> createWriter(
      WriterInitContext context) {
    return new Writer(new Jedis(URI.create(url)), context.getProcessingTimeService());
  }

  private static final class Writer
      implements SinkWriter<Tuple2<Tuple3<String, Long, String>, Long>> {
    private static final int MOST_EVENTS = 10_000;
    private static final long MOST_MS = 100;
    private static final long KEPT_S = 48 * 3_600;

    private final Jedis redis;
    private final ProcessingTimeService clock;
    /** By site and minute, then path: the totals that changed since the last writing. */
    private final Map<Tuple2<String, Long>, Map<String, String>> changed = new HashMap<>();
    private int events;

    Writer(Jedis redis, ProcessingTimeService clock) {
      this.redis = redis;
      this.clock = clock;
    }

    @Override
    public void write(Tuple2<Tuple3<String, Long, String>, Long> total, Context context) {
      if (events == 0) {
        clock.registerTimer(clock.getCurrentProcessingTime() + MOST_MS, time -> flush(false));
      }
      Tuple3<String, Long, String> place = total.f0;
      changed
          .computeIfAbsent(Tuple2.of(place.f0, place.f1), key -> new HashMap<>())
          .put(place.f2, Long.toString(total.f1));
      events++;
      if (events >= MOST_EVENTS) {
        flush(false);
      }
    }

    @Override
    public void flush(boolean endOfInput) {
      if (events == 0) {
        return;
      }
      Pipeline pipeline = redis.pipelined();
      changed.forEach(
          (place, totals) -> {
            String key = "views:" + place.f0 + ":" + place.f1;
            pipeline.hset(key, totals);
            pipeline.expireAt(key, place.f1 * 60 + KEPT_S);
          });
      pipeline.incrBy("counted", events);
      pipeline.sync();
      changed.clear();
      events = 0;
    }

    @Override
    public void close() {
      redis.close();
    }
  }
}
