"""Packages of plugins and models: hostile ZIPs checked, extracted, kept in folders by digest."""
