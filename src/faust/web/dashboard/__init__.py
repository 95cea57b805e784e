"""What the page ``/dashboard/`` shows of an app, and how it gets there."""
