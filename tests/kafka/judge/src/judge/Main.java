package judge;

import java.util.Arrays;

/** The first argument names what is asked, the others are what it is asked about. Answers are JSON lines. */
public final class Main {
    public static void main(String[] words) throws Exception {
        String[] rest = Arrays.copyOfRange(words, 1, words.length);
        switch (words[0]) {
            case "logs" -> Logs.main();
            case "adopt" -> Adopt.main(rest);
            case "queues" -> Queues.main(rest);
            case "golden" -> Golden.main(rest);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }
}
