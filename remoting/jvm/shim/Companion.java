package footman;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Starts agent.jar with other first numbers. The controller may still know
 * objects of a JVM that died under 2, 3, …; the next one must not reuse them.
 *
 * <p>Arguments: the first number, then those of hudson.remoting.Launcher. Says
 * "footman: ready" on stderr when the numbers are set.
 */
public final class Companion {
    public static void main(String[] args) throws Exception {
        final int base = Integer.parseInt(args[0]);
        String[] rest = new String[args.length - 1];
        System.arraycopy(args, 1, rest, 0, rest.length);
        Thread t = new Thread("footman numbers") {
            @Override
            public void run() {
                try {
                    shift(base);
                    System.err.println("footman: ready");
                } catch (Throwable x) {
                    System.err.println("footman: " + x);
                    System.exit(70);
                }
            }
        };
        t.setDaemon(true);
        t.start();
        Method main = Class.forName("hudson.remoting.Launcher").getMethod("main", String[].class);
        main.invoke(null, (Object) rest);
    }

    /** Waits for the one channel of this JVM, which is silent until it is spoken to. */
    private static void shift(int base) throws Exception {
        Class<?> channelClass = Class.forName("hudson.remoting.Channel");
        Map<?, ?> channels = (Map<?, ?>) field(channelClass, "ACTIVE_CHANNELS").get(null);
        Object channel = null;
        while (channel == null) {
            synchronized (channels) {
                for (Object c : channels.keySet()) {
                    channel = c;
                }
            }
            Thread.sleep(1);
        }
        Object table = field(channelClass, "exportedObjects").get(channel);
        synchronized (table) {
            Field iota = field(table.getClass(), "iota");
            iota.setInt(table, Math.max(base, iota.getInt(table)));
        }
        ((AtomicInteger) field(channelClass, "ioId").get(channel)).set(base);
        Class<?> request = Class.forName("hudson.remoting.Request");
        synchronized (request) {
            Field id = field(request, "nextId");
            id.setInt(null, Math.max(base, id.getInt(null)));
        }
    }

    private static Field field(Class<?> c, String name) throws Exception {
        Field f = c.getDeclaredField(name);
        f.setAccessible(true);
        return f;
    }
}
