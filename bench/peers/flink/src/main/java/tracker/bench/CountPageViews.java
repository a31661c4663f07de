package tracker.bench;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Counts page views by site, minute and path; the totals are Flink's state, saved in checkpoints,
 * and go to Redis as totals: what a restart writes again is the same.
 */
public final class CountPageViews {
  private static final Duration CHECKPOINT_INTERVAL = Duration.ofSeconds(10);

  private CountPageViews() {}

  public static void main(String[] arguments) throws Exception {
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.createLocalEnvironment(1, configuration());
    environment.getConfig().enableObjectReuse();
    environment
        .fromSource(pageViews(), WatermarkStrategy.noWatermarks(), "kafka")
        .keyBy(place -> place, Types.TUPLE(Types.STRING, Types.LONG, Types.STRING))
        .process(new RunningTotal())
        .sinkTo(new RedisSink(System.getenv("REDIS_URL")));
    environment.execute("page views");
  }

  private static Configuration configuration() {
    Configuration configuration = new Configuration();
    configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, CHECKPOINT_INTERVAL);
    configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    configuration.set(
        CheckpointingOptions.CHECKPOINTS_DIRECTORY, System.getenv("CHECKPOINTS_DIRECTORY"));
    return configuration;
  }

  private static KafkaSource<Tuple3<String, Long, String>> pageViews() {
    return KafkaSource.<Tuple3<String, Long, String>>builder()
        .setBootstrapServers(System.getenv("KAFKA_BOOTSTRAP_SERVERS"))
        .setTopics(System.getenv("KAFKA_TOPIC"))
        .setGroupId(System.getenv("KAFKA_GROUP"))
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new PlaceDeserializer())
        .setProperty("max.poll.records", "5000")
        .build();
  }
}
