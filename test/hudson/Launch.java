// Starts the Winstone servlet container inside hudson-war-1.395.war on a JVM of today. That release refuses what does not
// look like Sun's Java 5 or 6 of its time, so it is shown one.
public final class Launch {
    private Launch() {}

    public static void main(String[] args) throws Exception {
        System.setProperty("java.vm.vendor", "Sun Microsystems Inc.");
        System.setProperty("java.vendor", "Sun Microsystems Inc.");
        System.setProperty("java.version", "1.6.0_22");
        System.setProperty("java.specification.version", "1.6");
        System.setProperty("java.awt.headless", "true");
        Class.forName("Main").getMethod("main", String[].class).invoke(null, (Object) args);
    }
}
