// JDBC at the desk: parameters of several types, portions, errors with their hints, transactions that are none.
// Arguments: URL, user, the digits of a one-time code.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

import org.postgresql.util.PSQLException;

class Desk {
    private static final String WHY = "REASON 'invoices show wrong totals' TICKET 'SUP-1'";

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("ApplicationName", "jdbc");
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            expect(connection.isValid(5), "it is valid");
            asked(connection);
            portions(connection);
            failed(connection);
            code(connection, Integer.parseInt(arguments[2]));
        }
        System.out.println("done");
    }

    private static void asked(Connection connection) throws SQLException {
        String line = "REQUEST ? FOR ? REASON ? TICKET ? SCOPE metadata";
        String request;
        try (PreparedStatement ask = connection.prepareStatement(line)) {
            ask.setString(1, "acme");
            ask.setString(2, "90 min");
            ask.setString(3, "invoices show wrong totals");
            ask.setString(4, "SUP-1");
            try (ResultSet rows = ask.executeQuery()) {
                expect(rows.next() && rows.getString("status").equals("open"), "it is open");
                expect(rows.getString("for").equals("90 min"), "as long as asked");
                request = rows.getString("request");
            }
        }
        try (PreparedStatement withdraw = connection.prepareStatement("WITHDRAW ?")) {
            withdraw.setInt(1, Integer.parseInt(request.substring(1)));
            try (ResultSet rows = withdraw.executeQuery()) {
                expect(rows.next() && rows.getString("status").equals("withdrawn"), "it is withdrawn");
            }
        }
    }

    private static void portions(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement help = connection.createStatement()) {
            help.setFetchSize(3);
            int count = 0;
            try (ResultSet rows = help.executeQuery("SHOW HELP")) {
                while (rows.next()) {
                    count++;
                }
            }
            expect(count == 10, "every verb: " + count);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void failed(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1");
            expect(false, "there is no data");
        } catch (PSQLException error) {
            expect("0A000".equals(error.getSQLState()), error.toString());
            String hint = error.getServerErrorMessage().getHint();
            expect(hint != null && hint.contains("REQUEST"), "it says what can be typed: " + hint);
        }
    }

    private static void code(Connection connection, int code) throws SQLException {
        // For the sixth time on it is prepared by name, and values may come as binary.
        for (int time = 0; time < 7; time++) {
            try (PreparedStatement wrong = connection.prepareStatement("SHOW GRANTS")) {
                wrong.executeQuery().close();
            }
        }
        try (PreparedStatement use = connection.prepareStatement("REQUEST acme " + WHY + " CODE ?")) {
            use.setString(1, String.format("%06d", code));
            try (ResultSet rows = use.executeQuery()) {
                expect(rows.next() && rows.getString("status").equals("live"), "it is open");
                expect(rows.getString("scope").equals("read"), "as far as the code says");
            }
        }
        try (Statement release = connection.createStatement()) {
            expect(release.execute("RELEASE acme"), "it answers with rows");
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
