// JDBC: its LargeObject API, which calls functions by FunctionCall, and ordinary statements with a fetch size.
// Arguments: URL, user.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;

import org.postgresql.PGConnection;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

class LargeObjects {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("ApplicationName", "jdbc");
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            connection.setAutoCommit(false);
            largeObject(connection);
            prepared(connection);
            fetched(connection);
            failed(connection);
        }
        System.out.println("done");
    }

    private static void largeObject(Connection connection) throws Exception {
        LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
        byte[] data = new byte[300_000];
        for (int at = 0; at < data.length; at++) {
            data[at] = (byte) (at % 251);
        }
        long oid = manager.createLO(LargeObjectManager.READWRITE);
        try (LargeObject object = manager.open(oid, LargeObjectManager.READWRITE)) {
            for (int at = 0; at < data.length; at += 30_000) {
                object.write(data, at, 30_000);
            }
            expect(object.size64() == data.length, "its size");
            object.seek64(data.length - 10, LargeObject.SEEK_SET);
            expect(Arrays.equals(object.read(100), Arrays.copyOfRange(data, data.length - 10, data.length)), "its end");
            object.truncate64(200_000);
        }
        connection.commit();
        try (LargeObject object = manager.open(oid, LargeObjectManager.READ)) {
            byte[] back = object.getInputStream().readAllBytes();
            expect(Arrays.equals(back, Arrays.copyOf(data, 200_000)), "what came back");
        }
        manager.delete(oid);
        connection.commit();
        try {
            manager.open(oid, LargeObjectManager.READ);
            expect(false, "an error");
        } catch (SQLException error) {
            expect("42704".equals(error.getSQLState()), error.toString());
            connection.rollback();
        }
    }

    private static void prepared(Connection connection) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement("insert into imported values (?, ?)")) {
            for (int id = 0; id < 100; id++) {
                insert.setInt(1, id);
                insert.setString(2, "name " + id);
                insert.addBatch();
            }
            expect(insert.executeBatch().length == 100, "a batch");
        }
        try (Statement statement = connection.createStatement()) {
            String rest = "insert into imported select g, 'name ' || g from generate_series(100, 999) g";
            expect(statement.executeUpdate(rest) == 900, "the rest");
        }
        connection.commit();
    }

    // A portal, of which each Execute fetches some; from the fifth time on the statement has a name.
    private static void fetched(Connection connection) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement("select id, name from imported where id >= ? order by id")) {
            select.setFetchSize(90);
            for (int round = 0; round < 7; round++) {
                select.setInt(1, round * 100);
                int id = round * 100;
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) {
                        expect(rows.getInt(1) == id && rows.getString(2).equals("name " + id), "row " + id);
                        id++;
                    }
                }
                expect(id == 1000, "all rows");
            }
            // Left in the middle: the portal is closed, or goes with the transaction.
            try (ResultSet rows = select.executeQuery()) {
                expect(rows.next(), "a row");
            }
        }
        connection.commit();
    }

    private static void failed(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("select 1 / 0");
            expect(false, "an error");
        } catch (SQLException error) {
            expect("22012".equals(error.getSQLState()), error.toString());
        }
        connection.rollback();
        try (Statement statement = connection.createStatement()) {
            expect(statement.executeUpdate("delete from imported") == 1000, "rows");
        }
        connection.commit();
    }

    private static void expect(boolean fact, String what) {
        if (!fact) {
            throw new AssertionError(what);
        }
    }
}
