package judge;

import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.utils.Utils;

/** JSON with fields in the order in which they were put, and bytes as hexadecimal digits. */
final class Json {
    private final StringBuilder text = new StringBuilder("{");

    static Json of(String name, Object value) {
        return new Json().and(name, value);
    }

    Json and(String name, Object value) {
        if (text.length() > 1) {
            text.append(',');
        }
        quote(name);
        text.append(':');
        put(value);
        return this;
    }

    void print() {
        System.out.println(this);
    }

    @Override
    public String toString() {
        return text + "}";
    }

    private void put(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean || value instanceof Json) {
            text.append(value);
        } else if (value instanceof byte[] bytes) {
            quote(HexFormat.of().formatHex(bytes));
        } else if (value instanceof ByteBuffer buffer) {
            quote(HexFormat.of().formatHex(Utils.toArray(buffer.duplicate())));
        } else if (value instanceof Header[] headers) {
            text.append('[');
            for (int at = 0; at < headers.length; at++) {
                text.append(at == 0 ? "[" : ",[");
                put(Utils.utf8(headers[at].key()));
                text.append(',');
                put(headers[at].value());
                text.append(']');
            }
            text.append(']');
        } else if (value instanceof Map<?, ?> map) {
            Json inner = new Json();
            map.forEach((key, each) -> inner.and(key.toString(), each));
            text.append(inner);
        } else if (value instanceof Iterable<?> many) {
            text.append('[');
            for (Iterator<?> each = many.iterator(); each.hasNext(); ) {
                put(each.next());
                if (each.hasNext()) {
                    text.append(',');
                }
            }
            text.append(']');
        } else {
            quote(value.toString());
        }
    }

    private void quote(String value) {
        text.append('"');
        for (char letter : value.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                text.append('\\').append(letter);
            } else if (letter < ' ') {
                text.append(String.format("\\u%04x", (int) letter));
            } else {
                text.append(letter);
            }
        }
        text.append('"');
    }
}
