package tracker.bench;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** For each page view, how many its place has by now. */
final class RunningTotal
    extends KeyedProcessFunction<
        Tuple3<String, Long, String>,
        Tuple3<String, Long, String>,
        Tuple2<Tuple3<String, Long, String>, Long>> {
  private static final long serialVersionUID = 1;

  private transient ValueState<Long> views;

  @Override
  public void open(OpenContext context) {
    views = getRuntimeContext().getState(new ValueStateDescriptor<>("views", Types.LONG));
  }

  @Override
  public void processElement(
      Tuple3<String, Long, String> place,
      Context context,
      Collector<Tuple2<Tuple3<String, Long, String>, Long>> out)
      throws Exception {
    Long before = views.value();
    long total = before == null ? 1 : before + 1;
    views.update(total);
    out.collect(Tuple2.of(place, total));
  }
}
