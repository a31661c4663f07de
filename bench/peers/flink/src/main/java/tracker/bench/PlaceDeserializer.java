package tracker.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;

/** Where a message is counted: its site, minute and path. */
final class PlaceDeserializer extends AbstractDeserializationSchema<Tuple3<String, Long, String>> {
  private static final long serialVersionUID = 1;
  private static final long MINUTE_MS = 60_000;

  private transient ObjectReader reader;

  PlaceDeserializer() {
    super(Types.TUPLE(Types.STRING, Types.LONG, Types.STRING));
  }

  @Override
  public void open(InitializationContext context) {
    reader = new ObjectMapper().readerFor(View.class);
  }

  @Override
  public Tuple3<String, Long, String> deserialize(byte[] message) throws IOException {
    View view = reader.readValue(message);
    return Tuple3.of(view.site, view.ts / MINUTE_MS, view.path);
  }

  /** The fields of a message that are counted by. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  static final class View {
    public String site;
    public String path;
    public long ts;
  }
}
