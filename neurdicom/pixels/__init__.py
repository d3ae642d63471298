"""From stored Pixel Data to arrays and pictures; runs in worker processes, never in the server's."""
